import { PostgresNotifier } from '../../src/notifications/postgres-notifier.ts'
import { describeNotifier } from '../conformance/notifier.ts'
import { NotifierDatabase } from './notifier-fixture.ts'

describeNotifier('over PostgreSQL', async () => {
  const database = await NotifierDatabase.create()
  return {
    open: () => PostgresNotifier.connect(database.url, () => {}),
    sendText: (text) => database.notify(text),
    commitWith: (notification) => database.commitWith(notification),
    breakConnections: () => database.breakConnections(),
    [Symbol.asyncDispose]: () => database[Symbol.asyncDispose](),
  }
})
