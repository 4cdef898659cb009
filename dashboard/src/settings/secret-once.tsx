import { Alert, Button, CopyButton } from '@mantine/core'
import classes from './settings-page.module.css'

/** A secret that is shown now and never again. */
export function SecretOnce({
  title,
  secret,
  onClose,
}: {
  title: string
  secret: string
  onClose: () => void
}) {
  return (
    <Alert
      className="callout-secret"
      title={title}
      my="md"
      withCloseButton
      closeButtonLabel="Close"
      onClose={onClose}
    >
      It is not shown again: keep it now.
      <div className={classes.secret}>
        <code>{secret}</code>
        <CopyButton value={secret}>
          {({ copied, copy }) => (
            <Button size="xs" variant="default" onClick={copy}>
              {copied ? 'Copied' : 'Copy'}
            </Button>
          )}
        </CopyButton>
      </div>
    </Alert>
  )
}
