import classes from './series-name.module.css'

/** A series by its metric and tags. */
export function SeriesName({ metric, tags }: { metric: string; tags: Readonly<Record<string, string>> }) {
  const entries = Object.entries(tags)
  return (
    <span className={classes.name}>
      <span className={classes.metric}>{metric}</span>
      {entries.map(([key, value]) => (
        <span key={key} className={classes.tag} title={`${key} = ${value}`}>
          <span className={classes.key}>{key}=</span>
          {value}
        </span>
      ))}
    </span>
  )
}
