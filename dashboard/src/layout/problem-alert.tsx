import { Alert, Button, List, Text } from '@mantine/core'
import { IconAlertCircle } from '@tabler/icons-react'
import { asProblem } from '../api/problem.ts'

/** Says in plain words what went wrong, what to do, and which fields were refused. */
export function ProblemAlert({ error, onRetry }: { error: unknown; onRetry?: () => void }) {
  const problem = asProblem(error)
  return (
    <Alert color="red" title={problem.title} icon={<IconAlertCircle size={18} />} role="alert">
      <ProblemText error={problem} />
      {onRetry !== undefined && (
        <Button mt="sm" size="xs" variant="default" onClick={onRetry}>
          Try again
        </Button>
      )}
    </Alert>
  )
}

/** The sentences of a problem without its title. */
export function ProblemText({ error }: { error: unknown }) {
  const problem = asProblem(error)
  const fields = problem.fields.filter((each) => !problem.message.includes(each.reason))
  return (
    <>
      {problem.message !== problem.title && <Text size="sm">{problem.message}</Text>}
      {fields.length > 0 && (
        <List size="sm" mt={4}>
          {fields.map((each) => (
            <List.Item key={each.field}>
              <b>{each.field}</b>: {each.reason}
            </List.Item>
          ))}
        </List>
      )}
      {problem.hint !== undefined && (
        <Text size="sm" c="dimmed" mt={4}>
          {problem.hint}
        </Text>
      )}
    </>
  )
}
