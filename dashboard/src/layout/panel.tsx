import type { ReactNode } from 'react'
import classes from './panel.module.css'

/** A titled surface; `heading` stands for the title where plain text is not enough. */
export function Panel(props: {
  title: string
  heading?: ReactNode
  aside?: ReactNode
  flush?: boolean
  children: ReactNode
}) {
  return (
    <section className={classes.panel} aria-label={props.title}>
      <div className={classes.head}>
        <h2 className={classes.heading}>{props.heading ?? props.title}</h2>
        {props.aside}
      </div>
      <div className={props.flush === true ? undefined : classes.body}>{props.children}</div>
    </section>
  )
}
