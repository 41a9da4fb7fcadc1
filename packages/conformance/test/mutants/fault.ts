export interface Answer {
  status: number
  headers: Record<string, string | string[] | undefined>
  body: string
}

export interface Asked {
  readonly method: string
  url: string
  body: string
}

/** What a fault makes of a request, or of an answer to one. */
export interface Fault {
  readonly ask?: (asked: Asked) => void
  /** In the place of an answer of the runtime. */
  readonly instead?: (asked: Asked) => Answer | undefined
  readonly answer?: (answer: Answer, asked: Asked) => void
}

// biome-ignore lint/suspicious/noExplicitAny: a document that is changed at will
export type Json = any

/** Changes a JSON body, if it is one. */
export function json(body: string, edit: (value: Json) => void): string {
  try {
    const value = JSON.parse(body)
    edit(value)
    return JSON.stringify(value)
  } catch {
    return body
  }
}

export const inAnswer = (path: RegExp, edit: (value: Json) => void): Fault => ({
  answer: (answer, { url }) => {
    if (path.test(url) && answer.status < 400) answer.body = json(answer.body, edit)
  },
})
export const inAsked = (url: string, edit: (value: Json) => void): Fault => ({
  ask: (asked) => {
    if (asked.url === url) asked.body = json(asked.body, edit)
  },
})
export const inStart = (edit: (value: Json) => void) => inAsked("/start", edit)
export const inMade = (edit: (value: Json) => void): Fault => ({
  ask: (asked) => {
    if (asked.method === "POST" && asked.url === "/instances") asked.body = json(asked.body, edit)
  },
})
export const inError = (edit: (answer: Answer) => void): Fault => ({
  answer: (answer) => {
    if (answer.status >= 400) edit(answer)
  },
})
export const onPath = (method: string, path: RegExp, answer: Answer): Fault => ({
  instead: (asked) => (asked.method === method && path.test(asked.url) ? answer : undefined),
})
export const STATUS = /^\/status\//
export const reply = (status: number, value: unknown): Answer => ({
  status,
  headers: { "content-type": "application/json" },
  body: typeof value === "string" ? value : JSON.stringify(value),
})

/** A refusal on this path that is none. */
export const granted = (path: RegExp, value: unknown): Fault => ({
  answer: (answer, { url }) => {
    if (path.test(url) && answer.status >= 400) Object.assign(answer, reply(200, value))
  },
})
