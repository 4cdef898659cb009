import { describeSessions } from '../conformance/sessions.ts'

describeSessions('postgres', async () => undefined)
