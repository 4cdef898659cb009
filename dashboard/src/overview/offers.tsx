import { Button, Group } from '@mantine/core'
import { IconFileUpload, IconSparkles, IconUpload } from '@tabler/icons-react'
import { chooseFile } from '../imports/import-store.ts'
import { useLoadDemo } from './load-demo.ts'
import classes from './offers.module.css'

/** The two ways to begin, for someone who has nothing here yet. */
export function FirstOffers() {
  const demo = useLoadDemo()
  return (
    <section className={classes.first} aria-label="Begin">
      <h1 className={classes.title}>What should be watched?</h1>
      <div className={classes.offers}>
        <button
          type="button"
          className={classes.offer}
          data-drop
          onClick={() => chooseFile()}
          data-testid="drop-zone"
        >
          <IconFileUpload size={34} stroke={1.3} />
          <b>Drop a CSV</b>
          <span>
            Anywhere on this page, or click to choose. Columns are recognised, every series is watched, and
            findings appear within seconds. NDJSON works too.
          </span>
        </button>
        <button
          type="button"
          className={classes.offer}
          disabled={demo.isPending}
          onClick={() => demo.mutate()}
          data-testid="load-demo"
        >
          <IconSparkles size={34} stroke={1.3} />
          <b>{demo.isPending ? 'Loading the demo…' : 'Load the demo'}</b>
          <span>
            Four weeks of metrics of a small business, with incidents marked, so that you can compare what
            happened with what is found.
          </span>
        </button>
      </div>
    </section>
  )
}

/** The same two offers, small, once there is something to look at. */
export function SmallOffers({ demo: offerDemo }: { demo: boolean }) {
  const demo = useLoadDemo()
  return (
    <Group gap="xs">
      {offerDemo && (
        <Button
          variant="default"
          size="sm"
          leftSection={<IconSparkles size={16} />}
          loading={demo.isPending}
          onClick={() => demo.mutate()}
          data-testid="load-demo"
        >
          Load the demo
        </Button>
      )}
      <Button
        size="sm"
        leftSection={<IconUpload size={16} />}
        onClick={() => chooseFile()}
        data-testid="drop-zone"
      >
        Add a CSV
      </Button>
    </Group>
  )
}
