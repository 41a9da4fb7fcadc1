import { must } from "../../check.ts"
import { isOfType, satisfies } from "../../subject/answers.ts"
import type { Runtime } from "../../subject/runtime.ts"

/** What checks look at of an event. */
export interface Event {
  readonly id: string
  readonly type: string
  readonly time: string
  readonly instance_id?: string
  readonly finished?: string
  readonly name?: string
  readonly reason?: string
  readonly exit?: { readonly reason: string }
  readonly error?: { readonly code: string }
  readonly snapshot_ref?: string
  readonly degraded?: readonly string[]
  readonly ports?: readonly { readonly host: number; readonly guest: number }[]
}

/** The events that the runtime has kept, each held against its schema. */
export async function events(runtime: Runtime, query?: string, headers = {}): Promise<Event[]> {
  const asking = { headers, ...(query !== undefined && { query }) }
  const reply = await runtime.raw("GET", "/events", asking)
  const { status, text } = reply
  must(status === 200, `GET /events was answered with ${status}`)
  isOfType(reply, "text/event-stream", "GET /events")
  const blocks = text.split(/\n\n+/).filter((block) => /^data:/m.test(block))
  return blocks.map((block) => {
    const [, data = ""] = /^data: ?(.*)$/m.exec(block) ?? []
    const event: unknown = JSON.parse(data)
    satisfies("Event", event, "GET /events")
    const [, id] = /^id: ?(.*)$/m.exec(block) ?? []
    must(id === (event as Event).id, `an event with the id ${(event as Event).id} is sent with the id ${id}`)
    return event as Event
  })
}

/** Those of one instance. */
export async function eventsOf(runtime: Runtime, id: string): Promise<Event[]> {
  return (await events(runtime)).filter(({ instance_id }) => instance_id === id)
}
