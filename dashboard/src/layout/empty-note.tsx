import type { ReactNode } from 'react'
import classes from './empty-note.module.css'

/** What a list says when there is nothing in it. */
export function EmptyNote({
  icon,
  title,
  children,
}: {
  icon?: ReactNode
  title: string
  children?: ReactNode
}) {
  return (
    <div className={classes.note}>
      {icon}
      <p className={classes.title}>{title}</p>
      {children !== undefined && <div className={classes.text}>{children}</div>}
    </div>
  )
}
