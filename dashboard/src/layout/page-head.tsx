import type { ReactNode } from 'react'
import classes from './page-head.module.css'

/** The title of a page, a line about it, and its actions. */
export function PageHead(props: { title: string; about?: ReactNode; children?: ReactNode }) {
  return (
    <div className={classes.head}>
      <div>
        <h1 className={classes.title}>{props.title}</h1>
        {props.about !== undefined && <p className={classes.about}>{props.about}</p>}
      </div>
      {props.children}
    </div>
  )
}
