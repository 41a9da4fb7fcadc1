import {
  type Fault,
  granted,
  inAnswer,
  inAsked,
  inError,
  inMade,
  inStart,
  type Json,
  json,
  reply,
  STATUS,
} from "./fault.ts"

// Small things that a runtime is right in but for one. What they do is seen by what is told twice, or by its bounds.

/** IDs by names, and by what they begin with; and events by their IDs. */
const IDS = new Map<string, string>()
const EVENTS = new Map<string, string>()

/** By the names of the table. */
export const SMALL: Readonly<Record<string, Fault>> = {
  "takes a name for an ID": {
    ask: (asked) => {
      const [path = "", name = ""] = /^\/(?:status|logs|instances)\/([^/?]+)/.exec(asked.url) ?? []
      const id = IDS.get(name)
      if (id !== undefined) asked.url = asked.url.replace(path, path.replace(name, id))
    },
    answer: ({ body, status }, { url }) => {
      if (!STATUS.test(url) || status >= 400) return
      const { name, instance_id } = JSON.parse(body)
      IDS.set(name, instance_id)
    },
  },
  "stops what an ID begins with": {
    ask: (asked) => {
      if (asked.url !== "/stop") return
      asked.body = json(asked.body, (body) => {
        body.instance_id = [...IDS.values()].find((id) => id.startsWith(body.instance_id)) ?? body.instance_id
      })
    },
    answer: ({ body, status }, { method, url }) => {
      if (method === "POST" && url === "/instances" && status < 400)
        IDS.set(body, JSON.parse(body).instance_id)
    },
  },
  "takes TRUE for true": {
    ask: (asked) => {
      asked.url = asked.url.replace(/(follow|force)=true/i, "$1=true")
    },
  },
  "allows all methods": {
    answer: ({ headers }) => {
      if (headers.allow !== undefined) headers.allow = "GET, POST, PUT, DELETE"
    },
  },
  "takes one label too many": inMadeAndStarted(({ labels }) => {
    if (Object.keys(labels ?? {}).length === 65) delete labels[Object.keys(labels)[0] ?? ""]
  }),
  "knows no capitals in names": inMadeAndStarted((overrides) => {
    overrides.name = overrides.name?.toLowerCase()
  }),
  "takes a volume twice": inMadeAndStarted(({ volumes = [] }) => {
    if (volumes[0]?.name === volumes[1]?.name) volumes.pop()
  }),
  "lets a machine out that is to be shut": inMadeAndStarted(({ network }) => {
    if (network) delete network.outbound
  }),
  "adds arguments to the manifest's": inStart(({ overrides }) => {
    if (overrides?.args) overrides.args = `console=ttyS0 tick_ms=100 ${overrides.args}`
  }),
  "says stopping of what has stopped": {
    answer: (answer, { url }) => {
      if (url === "/stop") answer.body = answer.body.replace("stopped", "stopping")
    },
  },
  "lists a name of before": inAnswer(/^\/instances$/, ({ instances = [] }) => {
    for (const one of instances) one.name = "before"
  }),
  "counts what it used when it has ended": inAnswer(STATUS, ({ state, resources }) => {
    if (state === "stopped") resources.cpu_time_ms = 5
  }),
  "tells the last event once more": {
    answer: (answer, { url }) => {
      if (!url.startsWith("/events")) return
      const [, after = ""] = /after=([^&]+)/.exec(url) ?? []
      for (const event of answer.body.split("\n\n"))
        EVENTS.set(/^id: (.*)$/m.exec(event)?.[1] ?? "", `${event}\n\n`)
      answer.body = (EVENTS.get(after) ?? "") + answer.body
    },
  },
  "takes any time to power off": inAsked("/stop", (body) => {
    if (body.grace_ms > 600_000) body.grace_ms = 600_000
  }),
  "takes null for nothing": inBody(/\/fork$/, (body) => {
    for (const name of Object.keys(body)) if (body[name] === null) delete body[name]
  }),
  "takes more of a port than there is": inBody(/\/ports$/, (body) => {
    delete body.surplus
  }),
  "reads no body of a pause": {
    ask: (asked) => {
      if (asked.url.endsWith("/pause")) asked.body = ""
    },
  },
  "takes a slash at the end": {
    ask: (asked) => {
      asked.url = asked.url.replace(/(.)\/$/, "$1")
    },
  },
  "takes a parameter twice": {
    ask: (asked) => {
      asked.url = asked.url.replace(/([?&]tail=1)&tail=1/, "$1")
    },
  },
  "calls odd parameters its own fault": {
    answer: (answer, { url }) => {
      if (answer.status === 400 && url.includes("tail="))
        Object.assign(answer, reply(500, { errors: [{ code: "OVM_INTERNAL", message: "tail" }] }))
    },
  },
  "forgets labels with the first life": inNextLife((info) => {
    delete info.labels
  }),
  "warns in the first life alone": inNextLife((info) => {
    info.warnings = []
  }),
  "forgets when to stand by": inNextLife((info) => {
    delete info.standby_after
  }),
  "forgets whose child it is": inNextLife((info) => {
    delete info.fork
  }),
  "follows from the second line on": {
    answer: (answer, { url }) => {
      if (url.endsWith("?follow=true")) answer.body = answer.body.slice(answer.body.indexOf("\n") + 1)
    },
  },
  "knows no tail of nothing": {
    ask: (asked) => {
      asked.url = asked.url.replace(/\?tail=0$/, "")
    },
  },
  "reads times without their zones": {
    ask: (asked) => {
      asked.url = asked.url.replace("%2B05:00", "Z")
    },
  },
  "counts the seconds of processors": inAnswer(STATUS, ({ resources }) => {
    if (resources.cpu_time_ms !== undefined) resources.cpu_time_ms = Math.round(resources.cpu_time_ms / 1000)
  }),
  "asks nobody before a restart": {
    ask: (asked) => {
      asked.url = asked.url.replace(/restart\?grace_ms=\d+/, "restart?grace_ms=0")
    },
  },
  "waits for long": inAnswer(STATUS, (info) => {
    if (info.restarting_at)
      info.restarting_at = new Date(Date.parse(info.restarting_at) + 500_000).toISOString()
  }),
  "says nothing of no secrets": inAnswer(/^\/snapshot$/, (answer) => {
    if (answer.scrub?.findings.length === 0) delete answer.scrub
  }),
  "is starting what runs already": inAnswer(/^\/start$/, (answer) => {
    answer.status = "starting"
  }),
  "makes what can only go on": granted(/^\/instances$/, {
    instance_id: "6f1d2c3b-4a59-4687-9a0b-c1d2e3f40516",
    status: "stopped",
  }),
  "sends other IDs than it tells": inEvents((body) => body.replace(/^id: .*$/gm, "id: 1")),
  "keeps few events": inEvents((body) => body.split("\n\n").slice(-150).join("\n\n")),
  "names nothing that is unknown": inError((answer) => {
    answer.body = json(answer.body, ({ errors }) => {
      if (errors[0].code === "OVM_INSTANCE_UNKNOWN") errors[0].message = "there is none"
    })
  }),
  "counts volumes as full": inAnswer(/^\/volumes$/, (volume) => {
    if (volume.size !== undefined) volume.used = volume.size
  }),
  "counts what has not ended": {
    answer: (answer, { url }) => {
      if (url === "/metrics") answer.body = answer.body.replace(/(state="stopped"\}) \d+/, "$1 0")
    },
  },
  "chooses what cannot run it": inAnswer(/^\/explain$/, ({ vmms }) => {
    vmms[0].chosen = true
  }),
  "gives children no policy": inAnswer(STATUS, (info) => {
    if (info.fork) delete info.restart
  }),
  "asks a guest that is not to be asked": inAsked("/stop", (body) => {
    if (body.grace_ms === 0) body.grace_ms = 20_000
  }),
  "makes up names that are too long": inAnswer(STATUS, (info) => {
    info.name = info.name.padEnd(64, "x")
  }),
  "starts again what is to be removed": inMade(({ overrides }) => {
    if (overrides?.autoRemove && /^on-failure/.test(overrides.restart)) delete overrides.restart
  }),
  "takes a list where nothing is let out": inMade(({ overrides }) => {
    if (overrides?.network?.outbound === false) delete overrides.network.allow
  }),
  "calls stopped what has failed": {
    answer: (answer, { url }) => {
      if (url === "/stop") answer.body = answer.body.replace("failed", "stopped")
    },
  },
  "names no override in detail": inError((answer) => {
    answer.body = json(answer.body, ({ errors }) => {
      delete errors[0].detail
    })
  }),
  "hears no input": {
    ask: (asked) => {
      if (!asked.url.endsWith("/exec")) return
      asked.body = json(asked.body, (body) => {
        delete body.input
      })
    },
  },
}

/** Changes what is said of an instance that was started once more. */
function inNextLife(edit: (info: Json) => void): Fault {
  const again = new Set<string>()
  return {
    ask: ({ url }) => {
      const [, id] = /^\/instances\/([^/]+)\/(?:re)?start\b/.exec(url) ?? []
      if (id !== undefined) again.add(id)
    },
    answer: (answer, { url }) => {
      if (STATUS.test(url) && again.has(url.split("/")[2] ?? "")) answer.body = json(answer.body, edit)
    },
  }
}

function inEvents(edit: (body: string) => string): Fault {
  return {
    answer: (answer, { url }) => {
      if (url.startsWith("/events")) answer.body = edit(answer.body)
    },
  }
}

/** Changes the bodies that are sent to such a path. */
function inBody(path: RegExp, edit: (value: Json) => void): Fault {
  return {
    ask: (asked) => {
      if (asked.method === "POST" && path.test(asked.url)) asked.body = json(asked.body, edit)
    },
  }
}

function inMadeAndStarted(edit: (overrides: Json) => void): Fault {
  return {
    ask: (asked) => {
      if (asked.method === "POST" && /^\/(start|instances)$/.test(asked.url))
        asked.body = json(asked.body, ({ overrides }) => {
          if (overrides) edit(overrides)
        })
    },
  }
}
