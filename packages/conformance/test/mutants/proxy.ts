import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http"
import {
  type Answer,
  type Asked,
  type Fault,
  granted,
  inAnswer,
  inAsked,
  inError,
  inMade,
  inStart,
  type Json,
  json,
  onPath,
  reply,
  STATUS,
} from "./fault.ts"
import { FURTHER } from "./further.ts"
import { GIVEN } from "./given.ts"
import { SMALL } from "./small.ts"

/** What was deleted or stopped, as it was answered. */
const GONE = new Set<string>()
const UNKNOWN = { errors: [{ code: "OVM_INSTANCE_UNKNOWN", message: "there is no such instance" }] }
const TAKEN = { snapshot_ref: `sha256:${"0".repeat(64)}` }
const PORT = { guest: 80, host: 8080, address: "127.0.0.1", protocol: "tcp" }

/** By the names of the table. */
export const FAULTS: Readonly<Record<string, Fault>> = {
  ...SMALL,
  ...GIVEN,
  ...FURTHER,
  "takes commas for ends": inStart(({ overrides }) => {
    if (overrides?.args) overrides.args = overrides.args.split(",")[0]
  }),
  "leaves out a member": inAnswer(STATUS, (info) => {
    delete info.created
  }),
  "answers errors as text": inError((answer) => {
    answer.body = "not found"
  }),
  "has a code of its own": inError((answer) => {
    answer.body = answer.body.replace("OVM_ROUTE_UNKNOWN", "OVM_NO_ROUTE")
  }),
  "has a status of its own": inError((answer) => {
    answer.status = 418
  }),
  "answers HTML": onPath("GET", /^\/health/, reply(200, "<html>fine</html>")),
  "sends no Allow": inError((answer) => {
    delete answer.headers.allow
  }),
  "ignores unknown members": {
    instead: ({ body }) =>
      body.includes("surplus") ? reply(200, { instance_id: ID, status: "starting" }) : undefined,
  },
  "ignores unknown parameters": {
    ask: (asked) => {
      asked.url = asked.url.replace(/\?.*$/, "")
    },
  },
  "takes the beginning of an ID": {
    instead: ({ url }) => (/^\/status\/[0-9a-f-]{8,35}$/.test(url) ? reply(200, INFO) : undefined),
  },
  "forgets the arguments": inStart((body) => {
    delete body.overrides?.args
  }),
  "gives other memory": inStart((body) => {
    if (body.overrides?.memory) body.overrides.memory = 48 << 20
  }),
  "gives one processor": inStart((body) => {
    if (body.overrides?.vcpus) body.overrides.vcpus = 1
  }),
  "says paused and does nothing": onPath("POST", /\/pause$/, reply(200, { status: "paused" })),
  "deletes what runs": {
    ask: (asked) => {
      if (asked.method === "DELETE" && !asked.url.includes("?")) asked.url += "?force=true"
    },
  },
  "lists what is gone": {
    answer: (answer, { method, url }) => {
      if (method === "GET" && url.startsWith("/status/") && answer.status === 404)
        Object.assign(answer, reply(200, INFO))
    },
  },
  "forgets consoles": {
    answer: (answer, { url }) => {
      if (url.startsWith("/logs/") && answer.body.includes("GUEST-OFF")) answer.body = ""
    },
  },
  "calls a panic a shutdown": inAnswer(STATUS, (info) => {
    if (info.state === "failed") {
      info.state = "stopped"
      info.exit = { reason: "guest-shutdown" }
      delete info.error
    }
  }),
  "loses results": inAnswer(STATUS, (info) => {
    if (info.exit) info.exit.reason = "guest-reset"
  }),
  "drops labels": inAnswer(STATUS, (info) => {
    delete info.labels
  }),
  "names a snapshot by its tag": inAnswer(/^\/snapshot/, (answer) => {
    answer.snapshot_ref = `sha256:${"0".repeat(64)}`
  }),
  "boots in place of a snapshot": inStart((body) => {
    if (body.manifest.startsWith("localhost/")) body.overrides = { resume: false }
  }),
  "gives clones one ID": inAnswer(STATUS, (info) => {
    if (info.generation_id) info.generation_id = ID
  }),
  "resumes once more": {
    answer: (answer) => {
      if (answer.body.includes("OVM_RESUME_DENIED"))
        Object.assign(answer, reply(200, { instance_id: ID, status: "running" }))
    },
  },
  "ends streams early": {
    ask: (asked) => {
      asked.url = asked.url.replace("follow=true", "follow=false")
    },
  },
  "has no end of tails": {
    ask: (asked) => {
      asked.url = asked.url.replace(/tail=\d+/, "tail=1000")
    },
  },
  "has a default of its own": inAnswer(STATUS, ({ resources }) => {
    if (resources.memory === 512 << 20) resources.memory = 256 << 20
  }),
  "says what phase it was": inAnswer(STATUS, (info) => {
    info.phase ??= "launching"
  }),
  "forgets warnings": inAnswer(STATUS, (info) => {
    info.warnings = []
  }),
  "gives all machines one MAC address": inAnswer(STATUS, ({ network }) => {
    if (network?.mac) network.mac = "52:54:00:00:00:01"
  }),
  "opens what a manifest offers": inMade((body) => {
    body.overrides = { network: { mode: "user", offered: true, ...body.overrides?.network } }
  }),
  "keeps ports that are given back": onPath("DELETE", /\/ports\?/, reply(200, PORT)),
  "restarts nothing": {
    instead: ({ method, url }) => {
      const [, id] = (method === "POST" && /^\/instances\/([^/]+)\/restart/.exec(url)) || []
      return id === undefined ? undefined : reply(200, { instance_id: id, status: "starting" })
    },
  },
  "starts again without an end": inStart((body) => {
    if (body.overrides?.restart) body.overrides.restart = "always"
  }),
  "tells what it found": inError((answer) => {
    answer.body = answer.body.replace(/"message":"/, '"message":"AKIAQY7ZOVMSSUITEABC ')
  }),
  "calls all children the first": inAnswer(STATUS, (info) => {
    if (info.fork) info.fork.index = 0
  }),
  "lists no slots": inAnswer(/^\/info/, (info) => {
    info.warm = []
  }),
  "forgets what took too long": inAnswer(/\/exec$/, (answer) => {
    delete answer.timed_out
  }),
  "gives errors as output": inAnswer(/\/exec$/, (answer) => {
    answer.stdout += answer.stderr
  }),
  "asks no agent to end its machine": inAsked("/stop", (body) => {
    body.grace_ms = 0
  }),
  "freezes nothing": inAsked("/snapshot", (body) => {
    delete body.freeze
  }),
  "takes snapshots of what is not ready": inAsked("/snapshot", (body) => {
    delete body.exec_before
  }),
  "calls all shares mounted": inAnswer(STATUS, ({ shares = [] }) => {
    for (const share of shares) share.mounted = true
  }),
  "calls a clone renewed at once": inAnswer(STATUS, ({ agent }) => {
    if (agent) agent.renewed = "2026-01-01T00:00:00Z"
  }),
  "takes the tag of another thing": granted(/^\/snapshot$/, TAKEN),
  "lets a snapshot pass over a stop": granted(/^\/snapshot$/, TAKEN),
  "snapshots a TPM": granted(/^\/snapshot$/, TAKEN),
  "grants any number of slots": granted(/^\/warm$/, { ready: 64 }),
  "opens ports of what stops": granted(/\/ports$/, PORT),
  "says nothing of locked memory": inAnswer(STATUS, (info) => {
    info.warnings = []
  }),
  "says nothing of a port that is held": inAnswer(STATUS, (info) => {
    info.warnings = []
  }),
  "says nothing of emulation": inAnswer(STATUS, (info) => {
    info.warnings = []
  }),
  "misses what lies in two pages": inError((answer) => {
    answer.body = json(answer.body, ({ errors }) => {
      for (const one of errors[0].detail ?? []) if (one.kind === "aws-access-key") one.count -= 2
    })
  }),
  "gives children no ports": inAnswer(STATUS, (info) => {
    if (info.fork) info.network.ports = []
  }),
  "says not whose agent answers": inAnswer(STATUS, ({ agent }) => {
    if (agent) delete agent.program
  }),
  "calls a whole machine degraded": inAnswer(STATUS, (info) => {
    info.degraded = ["network"]
  }),
  "says nothing of what is stopped": inAnswer(STATUS, (info) => {
    if (!info.warnings?.some((words: string) => words.includes("a signal has stopped"))) return
    info.warnings = []
    delete info.degraded
  }),
  "has the link up at once": {
    answer: (answer, { url }) => {
      if (url.startsWith("/logs/")) answer.body = answer.body.replace(/NIC [0-9a-f:]+ down\r?\n/g, "")
    },
  },
  "wakes nobody who is called": inAnswer(STATUS, (info) => {
    if (info.network?.ports) info.network.ports = info.network.ports.map((one: Json) => ({ ...one, host: 9 }))
  }),
  "deletes its record alone": {
    instead: ({ method, url }) => {
      const [, id = ""] = /^\/(?:instances|status)\/([^/?]+)/.exec(url) ?? []
      if (method === "DELETE" && url.endsWith("?force=true")) GONE.add(id)
      else if (method !== "GET" || !GONE.has(id)) return
      return method === "DELETE" ? { status: 204, headers: {}, body: "" } : reply(404, UNKNOWN)
    },
    answer: (answer, { method, url }) => {
      if (method === "GET" && url === "/instances")
        answer.body = json(answer.body, (list) => {
          list.instances = list.instances.filter((one: Json) => !GONE.has(one.instance_id))
        })
    },
  },
  "says stopped and lets it run": {
    instead: ({ url, body }) => {
      if (url !== "/stop") return
      GONE.add(JSON.parse(body).instance_id)
      return reply(200, { status: "stopped" })
    },
    answer: (answer, { url }) => {
      if (!STATUS.test(url) || !GONE.has(url.slice("/status/".length))) return
      answer.body = json(answer.body, (info) => {
        Object.assign(info, { state: "stopped", stop_method: "killed", exit: { reason: "quit" } })
        for (const name of ["rss", "cpu_time_ms", "disk_read", "disk_written"]) delete info.resources[name]
      })
    },
  },
  "ignores unknown members of what it only makes": inMade((body) => {
    delete body.surplus
    delete body.overrides?.surplus
  }),
  "loses lines of consoles": {
    answer: (answer, { url }) => {
      if (url.startsWith("/logs/")) answer.body = answer.body.replace(/TICK 7\r?\n/g, "")
    },
  },
  "tells of no exit": {
    answer: (answer, { url }) => {
      if (url.startsWith("/events"))
        answer.body = answer.body.replace(/"exit":\{[^}]*\},|,"exit":\{[^}]*\}/g, "")
    },
  },
  "calls a start that was given up failed": inAnswer(STATUS, (info) => {
    if (info.stop_method === "cancelled")
      Object.assign(info, { state: "failed", error: { code: "OVM_INTERRUPTED", message: "it was given up" } })
  }),
  "looks at the day of since": {
    ask: (asked) => {
      const since = Date.parse(/since=([^&]*)/.exec(asked.url)?.[1] ?? "")
      if (Math.abs(Date.now() - since) < 80_000_000) asked.url = asked.url.replace(/\?.*$/, "")
    },
  },
  "counts no processor time": {
    answer: (answer, { url }) => {
      if (url === "/metrics") answer.body = answer.body.replace(/^ovm_instance_cpu_seconds_total.*\n/gm, "")
    },
  },
  "hands on what Ignition was told": {
    answer: (answer, { url }) => {
      if (url.startsWith("/logs/")) answer.body = answer.body.replace("FW_CFG none", "FW_CFG 2 [{}]")
    },
  },
  "commits onto anything": {
    ask: (asked) => {
      if (asked.url.endsWith("/commit"))
        asked.body = json(asked.body, (body) => {
          delete body.onto
        })
    },
  },
  "has a command line of its own": inStart((body) => {
    if (body.manifest.endsWith("/bzimage")) body.overrides = { args: "console=ttyS0" }
  }),
  "names one difference": inError((answer) => {
    answer.body = json(answer.body, ({ errors }) => {
      if (errors[0].code === "OVM_SNAPSHOT_INCOMPATIBLE") errors[0].detail = errors[0].detail.slice(0, 1)
    })
  }),
}

const ID = "6f1d2c3b-4a59-4687-9a0b-c1d2e3f40516"
const INFO = {
  instance_id: ID,
  name: "x",
  state: "stopped",
  image: { reference: "x" },
  resources: { vcpus: 1, memory: 1 << 20 },
  timings_ms: { total: 1 },
  warnings: [],
  created: "2026-01-01T00:00:00Z",
}

/** Serves at `socket` what is served at `real`, with a fault. Returns what ends that. */
export async function serveFault(real: string, socket: string, fault: Fault): Promise<() => void> {
  const server = createServer((incoming, outgoing) => {
    relay(real, fault, incoming, outgoing).catch(() => outgoing.destroy())
  })
  await new Promise<void>((resolve) => server.listen(socket, resolve))
  return () => {
    server.closeAllConnections()
    server.close()
  }
}

async function relay(real: string, fault: Fault, incoming: IncomingMessage, outgoing: ServerResponse) {
  const asked: Asked = {
    method: incoming.method ?? "",
    url: incoming.url ?? "",
    body: await textOf(incoming),
  }
  fault.ask?.(asked)
  if (/\/attach\b/.test(asked.url)) return streamed(real, asked, outgoing)
  const answer = fault.instead?.(asked) ?? (await passed(real, asked, incoming.headers.accept))
  fault.answer?.(answer, asked)
  const { "content-length": _, "transfer-encoding": __, connection: ___, ...headers } = answer.headers
  outgoing.writeHead(answer.status, headers)
  outgoing.end(answer.body, "latin1")
}

/** A stream that somebody answers to while it goes on. */
function streamed(socketPath: string, { method, url }: Asked, outgoing: ServerResponse): void {
  const sent = request(
    { socketPath, method, path: url, agent: false, headers: { host: "ovm" } },
    (response) => {
      outgoing.writeHead(response.statusCode ?? 0, response.headers)
      response.pipe(outgoing)
    },
  )
  sent.on("error", () => outgoing.destroy()).end()
  outgoing.on("close", () => sent.destroy())
}

function passed(socketPath: string, { method, url, body }: Asked, accept = "*/*"): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const length = body === "" ? {} : { "content-length": body.length }
    const options = {
      socketPath,
      method,
      path: url,
      agent: false,
      headers: { host: "ovm", accept, ...length },
    }
    const sent = request(options, (response) => {
      textOf(response).then(
        (text) => resolve({ status: response.statusCode ?? 0, headers: { ...response.headers }, body: text }),
        reject,
      )
    })
    sent.on("error", reject).end(body, "latin1")
  })
}

/** A byte a character: a console is no text. */
async function textOf(stream: AsyncIterable<Buffer>): Promise<string> {
  return Buffer.concat(await Array.fromAsync(stream)).toString("latin1")
}
