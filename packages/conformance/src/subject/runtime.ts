import { fail, must } from "../check.ts"
import { type ApiError, errorOf, goodValue } from "./answers.ts"
import { exchange, type Question, type Reply } from "./exchange.ts"
import type { Harness } from "./harness.ts"
import { Lateness } from "./lateness.ts"
import type { Wrapper } from "./wrapper.ts"

export interface Network {
  readonly mode: string
  readonly mac?: string
  readonly outbound?: boolean
  readonly allow?: readonly string[]
  readonly ports?: readonly {
    readonly host: number
    readonly guest: number
    readonly address: string
    readonly protocol: string
  }[]
}

/** What is said of an instance, as far as checks look at it. */
export interface Instance {
  readonly instance_id: string
  readonly name: string
  readonly state: string
  readonly reason?: string
  readonly exit?: { readonly reason: string; readonly status?: number }
  readonly error?: ApiError
  readonly phase?: string
  readonly reachable?: boolean
  readonly snapshot?: string
  readonly warnings: readonly string[]
  readonly restart?: string
  readonly restarts?: number
  readonly restarting_at?: string
  readonly auto_remove?: boolean
  readonly command?: readonly string[]
  readonly fork?: { readonly source: string; readonly index: number }
  readonly ssh?: object
  readonly disks?: readonly { readonly size: number; readonly read_only: boolean; readonly name?: string }[]
  readonly volumes?: readonly { readonly name: string; readonly read_only: boolean }[]
  readonly network?: Network
  readonly generation_id?: string
  readonly stop_method?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly created: string
  readonly started?: string
  readonly finished?: string
  readonly resources: {
    readonly memory?: number
    readonly vcpus?: number
    readonly rss?: number
    readonly cpu_time_ms?: number
    readonly disk_read?: number
    readonly disk_written?: number
  }
  readonly image: { readonly reference?: string; readonly digest?: string }
}

export interface Asking {
  /** A JSON value, or bytes as they are. */
  readonly body?: unknown
  readonly query?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly onData?: Question["onData"]
}

/** Paths of OCI layouts: the suite's guest, and a Linux where the suite was given one; and what imports others. */
export interface Machines {
  readonly guest: string
  readonly linux?: string
  readonly wrapper?: Wrapper
}

/** Between two looks at what is waited for: what comes soon is seen soon. */
const SHORTEST_PAUSE_MS = 20
const LONGEST_PAUSE_MS = 100

/** A runtime by its socket. Every answer is held against the OpenAPI file and the error model. */
export class Runtime {
  constructor(
    readonly socket: string,
    readonly machines: Machines,
    readonly harness: Harness | undefined,
    private readonly signal: AbortSignal,
  ) {}

  get guest(): string {
    return this.machines.guest
  }

  get linux(): string | undefined {
    return this.machines.linux
  }

  get wrapper(): Wrapper | undefined {
    return this.machines.wrapper
  }

  with(signal: AbortSignal): Runtime {
    return new Runtime(this.socket, this.machines, this.harness, signal)
  }

  /** Another one, which the suite has started as well. */
  of(harness: Harness): Runtime {
    return new Runtime(harness.socket, this.machines, harness, this.signal)
  }

  /** Asks without judging the answer. */
  raw(method: string, path: string, { body, query, headers, onData }: Asking = {}): Promise<Reply> {
    const bytes = body === undefined || body instanceof Uint8Array ? body : JSON.stringify(body)
    return exchange(this.socket, {
      method,
      path: query === undefined ? path : `${path}?${query}`,
      signal: this.signal,
      ...(bytes !== undefined && { body: bytes }),
      ...(headers && { headers }),
      ...(onData && { onData }),
    })
  }

  /** The value of a good answer to an operation such as `POST /instances/{instance_id}/pause`. */
  async ask<T>(operation: string, id = "", asking: Asking = {}): Promise<T> {
    const [method = "", path = ""] = operation.split(" ")
    const reply = await this.raw(method, placed(path, id), asking)
    if (reply.status >= 400) {
      const { code, message } = errorOf(operation, reply)
      fail(`${operation} was refused with ${code}: ${message.slice(0, 300)}`)
    }
    return goodValue(operation, reply) as T
  }

  /** The error of an operation that has to be refused with `code`. */
  async refused(operation: string, code: string | RegExp, id = "", asking: Asking = {}): Promise<ApiError> {
    const [method = "", path = ""] = operation.split(" ")
    const reply = await this.raw(method, placed(path, id), asking)
    must(reply.status >= 400, `${operation} was answered with ${reply.status}, and not refused with ${code}`)
    const error = errorOf(operation, reply)
    const fits = typeof code === "string" ? error.code === code : code.test(error.code)
    must(
      fits,
      `${operation} was refused with ${error.code}, and not with ${code}: ${error.message.slice(0, 300)}`,
    )
    return error
  }

  /** What is said of an instance, and whether that agrees with itself. */
  async status(id: string): Promise<Instance> {
    const instance = await this.ask<Instance>("GET /status/{instance_id}", id)
    consistent(instance)
    return instance
  }

  logs(id: string, query?: string): Promise<string> {
    return this.ask<string>("GET /logs/{instance_id}", id, query === undefined ? {} : { query })
  }

  /** Looks until `look` gives something; fails with `what` when the time of the check is over. */
  async until<T>(
    what: string | (() => Promise<string>),
    look: () => Promise<T | undefined | false>,
    limitMs = 60_000,
  ): Promise<T> {
    const deadline = performance.now() + limitMs
    for (let pause = SHORTEST_PAUSE_MS; ; pause = Math.min(1.5 * pause, LONGEST_PAUSE_MS)) {
      const found = await look()
      if (found !== undefined && found !== false) return found
      if (this.signal.aborted || performance.now() >= deadline)
        fail(`${typeof what === "string" ? what : await what()}: not in time`)
      await new Promise((resolve) => setTimeout(resolve, pause))
    }
  }

  /**
   * The same for what has to be so within a time: fails if somebody who began to look after it finds that it is not. By
   * how much the host itself is late is given on top.
   */
  async within<T>(what: string, limitMs: number, look: () => Promise<T | undefined | false>): Promise<T> {
    const late = new Lateness()
    const began = performance.now()
    try {
      for (;;) {
        const over = performance.now() - began > limitMs + late.milliseconds
        const found = await look()
        if (found !== undefined && found !== false) return found
        must(!this.signal.aborted && !over, `${what}: not within ${limitMs / 1000} s`)
        await new Promise((resolve) => setTimeout(resolve, LONGEST_PAUSE_MS))
      }
    } finally {
      late.end()
    }
  }

  /** The instance once it is in one of the states. */
  reaches(id: string, ...states: readonly string[]): Promise<Instance> {
    return this.until(`the instance is ${states.join(" or ")}`, async () => {
      const instance = await this.status(id)
      if (states.includes(instance.state)) return instance
      const ended = instance.state === "failed" || instance.state === "stopped"
      must(
        !ended,
        `the instance is ${instance.state} (${instance.error?.message ?? instance.exit?.reason}), and not ${states.join(" or ")}`,
      )
      return undefined
    })
  }

  /** The console once it matches; fails as soon as nothing can come any more. */
  says(id: string, words: RegExp, limitMs?: number): Promise<string> {
    // What is said of an end is looked at each second, and three times: a machine may be about to be started again.
    let [text, next, ends] = ["", performance.now() + 1000, 0]
    const wanted = async () => `${words} on the console${await this.#standing(id, text)}`
    const look = async () => {
      text = await this.logs(id)
      if (words.test(text)) return text
      if (performance.now() < next) return undefined
      next = performance.now() + 1000
      const { state, restarting_at } = await this.status(id)
      ends = (state === "failed" || state === "stopped") && restarting_at === undefined ? ends + 1 : 0
      return ends > 2 ? fail(`${await wanted()}: nothing more comes`) : undefined
    }
    return this.until(wanted, look, limitMs)
  }

  /** How an instance stands whose console did not say what it had to. */
  async #standing(id: string, text: string): Promise<string> {
    const reply = await this.raw("GET", `/status/${id}`).catch(() => undefined)
    if (reply?.status !== 200) return `, and its status is not answered with 200`
    const { state, reason, error, exit } = goodValue("GET /status/{instance_id}", reply) as Instance
    const why = [reason, error && `${error.code}: ${error.message}`, exit && `exit ${exit.reason}`].filter(
      Boolean,
    )
    return `: the instance is ${state}${why.map((word) => `, ${word}`).join("")}; the console ends with ${JSON.stringify(text.slice(-200))}`
  }
}

/** Of the process of a VMM (OVMS-API-064). */
const USAGE = ["rss", "cpu_time_ms", "disk_read", "disk_written"] as const

/**
 * What is there in some states alone (OVMS-API-061, OVMS-API-062, OVMS-API-063, OVMS-API-064, OVMS-API-130,
 * OVMS-API-143, OVMS-API-182).
 */
function consistent({ state, phase, error, reason, resources, reachable, ...info }: Instance): void {
  must(phase === undefined || state === "starting", `phase is ${phase} although the state is ${state}`)
  must(state !== "failed" || error, "the state is failed, and there is no error")
  const ended = state === "stopped" || state === "failed"
  for (const name of USAGE)
    must(
      !ended || resources[name] === undefined,
      `resources.${name} is there although the machine is ${state}`,
    )
  must((reason !== undefined) === (state === "paused"), `reason is ${reason} although the state is ${state}`)
  for (const name of ["exit", "restarting_at"] as const)
    must(ended || info[name] === undefined, `${name} is there although the state is ${state}`)
  must(reachable !== true, "reachable is there, and not false")
}

function placed(path: string, id: string): string {
  return path.replace(/\{[a-z_]+\}/, encodeURIComponent(id))
}
