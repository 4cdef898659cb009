import { Code, Text, Title } from '@mantine/core'
import { usePageTitle } from './page-title.ts'
import classes from './sign-in-page.module.css'

/** What someone sees who has not followed a sign-in link yet. */
export function SignInPage() {
  usePageTitle('Sign in')
  return (
    <main className={classes.page}>
      <img src="/favicon.svg" width={44} height={44} alt="" />
      <Title order={1} size="h2">
        Follow a sign-in link
      </Title>
      <Text c="dimmed">
        This browser is not signed in to Nomaly. On the machine where it runs, ask for a fresh link and open
        it here:
      </Text>
      <Code block className={classes.command}>
        npx nomaly link
      </Code>
      <Text c="dimmed" size="sm">
        In a checkout of the source the same command is <Code>npm run nomaly -- link</Code>. A link works
        once; after that this browser stays signed in.
      </Text>
    </main>
  )
}
