import { TYPE } from "../../agent/frame.ts"
import { must } from "../../check.ts"
import { utf8 } from "../../registry/content.ts"
import { piecesOf } from "../../subject/pieces.ts"
import type { Plan } from "../runtime/plan.ts"
import { agentPlan, allBut, later, opened, ready, type Stage } from "./stage.ts"

const EXEC = "POST /instances/{instance_id}/exec"

interface Answer {
  readonly exit_code: number
  readonly signal?: number
  readonly timed_out?: true
  readonly truncated?: true
  readonly stdout: string
  readonly stderr: string
}

/** Once the agent has been told to end that stream, by CLOSE or a signal that kills. */
function killed({ runtime, agent }: Stage, stream: number) {
  return runtime.until("the command is killed", async () => {
    const signals = agent.of(stream, TYPE.signal).map(({ payload }) => payload.readUInt32LE(0))
    return agent.of(stream, TYPE.close).length > 0 || signals.includes(9)
  })
}

export const agentCommandPlans: readonly Plan[] = [
  agentPlan("command", ["OVMS-API-321"], async (stage) => {
    const { runtime, id, agent } = stage
    agent.manner = (words, stream) => {
      if (words[0] !== "exec") return agent.exit(stream)
      agent.output(stream, "to output")
      agent.output(stream, "to errors", 2)
      if (words.includes("argument=signal")) agent.exit(stream, 15, 1)
      else agent.exit(stream, 3)
    }
    const body = {
      command: ["suite", "a b"],
      environment: ["NAME=value=1"],
      user: "nobody",
      directory: "/srv",
      input: "all that it reads",
    }
    const answer = await runtime.ask<Answer>(EXEC, id, { body })
    must(answer.exit_code === 3, `exit_code is ${answer.exit_code}, and the agent said 3`)
    must(
      answer.stdout === "to output" && answer.stderr === "to errors",
      "output and errors are not what was written",
    )
    must(
      answer.truncated === undefined && answer.timed_out === undefined,
      "nothing was cut off or took too long",
    )
    const { words, stream: own } = await opened(stage, "exec")
    await runtime.until("the input has ended", async () => agent.of(own, TYPE.end).length === 1)
    const input = Buffer.concat(agent.of(own, TYPE.data).map(({ payload }) => payload)).toString()
    must(input === body.input && words.includes("input"), `of its input the agent is told ${input}`)
    const wanted = [
      "argument=suite",
      "argument=a b",
      "variable=NAME=value=1",
      "user=nobody",
      "directory=/srv",
    ]
    for (const word of wanted) must(words.includes(word), `the agent is not told ${word}: ${words.join(" ")}`)
    const ended = await runtime.ask<Answer>(EXEC, id, { body: { command: ["signal"] } })
    must(ended.exit_code === 143 && ended.signal === 15, `of a signal it says ${JSON.stringify(ended)}`)
  }),
  agentPlan("first-of-its-output", ["OVMS-API-324"], async (stage) => {
    const { runtime, id, agent } = stage
    const [piece, times] = [60_000, 20]
    agent.manner = (words, stream) => {
      if (words[0] !== "exec") return agent.exit(stream)
      agent.output(stream, "first")
      for (let sent = 0; sent < 4; sent++) agent.output(stream, Buffer.alloc(piece))
    }
    await ready(stage)
    const answer = later(runtime.ask<Answer>(EXEC, id, { body: { command: ["yes"] } }))
    const { stream } = await opened(stage, "exec")
    const granted = () =>
      agent.of(stream, TYPE.credit).reduce((sum, { payload }) => sum + payload.readUInt32LE(0), 0)
    for (let sent = 4; sent < times; sent++) {
      await runtime.until("the host grants what it has read", async () => granted() > (sent - 4) * piece)
      agent.output(stream, Buffer.alloc(piece))
    }
    agent.output(stream, "of errors", 2)
    agent.exit(stream)
    const { stdout, stderr, truncated } = await answer
    must(truncated === true, "truncated is not true")
    must(stdout.length === 1 << 20, `it kept ${stdout.length} bytes of the output, and not 1 MiB`)
    must(stdout.startsWith("first") && stderr === "of errors", "what it kept is not the first")
  }),
  agentPlan("command-that-takes-too-long", ["OVMS-API-330"], async (stage) => {
    const { runtime, id, agent } = stage
    await ready(stage)
    agent.manner = allBut("exec")
    const answer = later(runtime.ask<Answer>(EXEC, id, { body: { command: ["sleep"], timeout_ms: 300 } }))
    const { stream } = await opened(stage, "exec")
    await killed(stage, stream)
    agent.exit(stream, 9, 1)
    must((await answer).timed_out === true, "timed_out is not true")
  }),
  agentPlan("client-that-goes", ["OVMS-API-323", "OVMS-API-335"], async (stage) => {
    const { runtime, id, agent } = stage
    await ready(stage)
    agent.manner = (words, stream) => {
      if (words[0] !== "exec" && words[0] !== "read") agent.exit(stream)
      else agent.output(stream, words[0] === "exec" ? "under way" : Buffer.alloc(1024))
    }
    const body = { command: ["sleep"] }
    const query = "attachment=6f1d2c3b-4a59-4687-9a0b-c1d2e3f40517"
    await runtime.raw("POST", `/instances/${id}/exec/stream`, { body, query, onData: () => true })
    await killed(stage, (await opened(stage, "exec")).stream)
    await runtime.raw("GET", `/instances/${id}/files`, { query: "path=%2Fsrv", onData: () => true })
    await killed(stage, (await opened(stage, "read")).stream)
  }),
  agentPlan("output-that-nobody-reads", ["OVMS-AGT-137"], async (stage) => {
    const { runtime, id, agent } = stage
    await ready(stage)
    agent.manner = (words, stream) => (words[0] === "exec" ? agent.output(stream, "a") : agent.exit(stream))
    const body = { command: ["yes"] }
    const query = "attachment=6f1d2c3b-4a59-4687-9a0b-c1d2e3f40518"
    await runtime.raw("POST", `/instances/${id}/exec/stream`, { body, query, onData: () => true })
    const { stream } = await opened(stage, "exec")
    await killed(stage, stream)
    for (let sent = 0; sent < 4; sent++) agent.output(stream, Buffer.alloc(65_535))
    const granted = () =>
      agent.of(stream, TYPE.credit).reduce((sum, { payload }) => sum + payload.readUInt32LE(0), 0)
    await runtime.until("the host grants what nobody reads any more", async () => granted() >= 131_072)
    agent.exit(stream, 9, 1)
  }),
  agentPlan("hundred-commands", ["OVMS-API-327"], async (stage) => {
    const { runtime, id, agent } = stage
    await ready(stage)
    agent.manner = allBut("exec")
    const body = { command: ["sleep"] }
    const answers = Array.from({ length: 100 }, () => runtime.ask<Answer>(EXEC, id, { body }))
    const all = later(Promise.all(answers))
    await Promise.race([opened(stage, "exec", 100), all])
    const opens = agent.opened("exec")
    must(opens.length === 100, `${opens.length} commands run at once, and not 100`)
    for (const { stream } of opens) agent.exit(stream, 4)
    for (const { exit_code } of await all)
      must(exit_code === 4, `a command ended with ${exit_code}, and not 4`)
  }),
  agentPlan("stream", ["OVMS-API-325", "OVMS-API-326", "OVMS-API-331"], async (stage) => {
    const { runtime, id, agent } = stage
    await ready(stage)
    agent.manner = allBut("exec")
    const attachment = "6f1d2c3b-4a59-4687-9a0b-c1d2e3f40516"
    const body = { command: ["sh"], interactive: true, terminal: { rows: 24, columns: 80 } }
    const query = `attachment=${attachment}`
    const answer = later(runtime.raw("POST", `/instances/${id}/exec/stream`, { body, query }))
    const { stream, words } = await opened(stage, "exec")
    must(words.includes("terminal=24x80"), `the agent is not told of the terminal: ${words.join(" ")}`)
    const typed = await runtime.raw("POST", `/instances/${id}/exec/input`, {
      body: utf8("typed"),
      query,
    })
    must(typed.status === 204, `input was answered with ${typed.status}`)
    await runtime.until(
      "the input comes",
      async () => agent.of(stream, TYPE.data)[0]?.payload.toString() === "typed",
    )
    const control = (asked: object) =>
      runtime.ask("POST /instances/{instance_id}/exec/control", id, { body: asked, query })
    await control({ terminal: { rows: 50, columns: 132 } })
    await control({ signal: 15 })
    await runtime.until("size and signal come", async () => {
      const [window] = agent.of(stream, TYPE.window)
      const [signal] = agent.of(stream, TYPE.signal)
      return (
        window?.payload.readUInt16LE(0) === 50 &&
        window.payload.readUInt16LE(2) === 132 &&
        signal?.payload.readUInt32LE(0) === 15
      )
    })
    await runtime.raw("POST", `/instances/${id}/exec/input`, {
      body: utf8("last"),
      query: `${query}&end=true`,
    })
    await runtime.until("the end of the input comes", async () => agent.of(stream, TYPE.end).length === 1)
    agent.output(stream, "said")
    agent.output(stream, "wrong", 2)
    agent.exit(stream, 5)
    const pieces = piecesOf((await answer).text)
    const joined = (kind: number) =>
      pieces
        .filter((one) => one.kind === kind)
        .map(({ bytes }) => bytes)
        .join("")
    must(joined(1) === "said" && joined(2) === "wrong", `the pieces are ${JSON.stringify(pieces)}`)
    const last = pieces.at(-1)
    must(
      last?.kind === 3 && JSON.parse(last.bytes).exit_code === 5,
      `the last piece is ${JSON.stringify(last)}`,
    )
  }),
  agentPlan("files", ["OVMS-API-332", "OVMS-API-334", "OVMS-API-333"], async (stage) => {
    const { runtime, id, agent } = stage
    const archive = Buffer.alloc(2048, 0).fill("tar", 0, 300)
    let outcome = 0
    agent.manner = (words, stream) => {
      if (words[0] === "read" && (outcome === 0 || outcome === 2)) agent.output(stream, archive)
      if (outcome > 0 && (words[0] === "read" || words[0] === "write"))
        agent.output(stream, "suite: no such thing", 2)
      agent.exit(stream, words[0] === "read" || words[0] === "write" ? outcome : 0)
    }
    await ready(stage)
    const path = `path=${encodeURIComponent("/srv/a b")}`
    const read = await runtime.raw("GET", `/instances/${id}/files`, { query: path })
    must(read.status === 200 && read.text === archive.toString(), "the answer is not what the agent gave")
    must((await opened(stage, "read")).words.includes("path=/srv/a b"), "the agent is not told the path")
    const headers = { "content-type": "application/x-tar" }
    for (const more of ["", "&rename=true"]) {
      const asked = { query: `${path}${more}`, body: archive, headers }
      await runtime.ask("PUT /instances/{instance_id}/files", id, asked)
      const { words, stream } = await opened(stage, "write", more === "" ? 1 : 2)
      must(words.includes("path=/srv/a b"), `the agent is not told the path: ${words.join(" ")}`)
      must(words.includes("rename") === (more !== ""), `of rename the agent is told ${words.join(" ")}`)
      await runtime.until("all of the archive comes", async () => agent.of(stream, TYPE.end).length === 1)
      const came = Buffer.concat(agent.of(stream, TYPE.data).map(({ payload }) => payload))
      must(came.equals(archive), "what the agent is given is another archive")
    }
    outcome = 1
    const refusals = [
      await runtime.refused("GET /instances/{instance_id}/files", "OVM_FILE_UNREADABLE", id, { query: path }),
      await runtime.refused("PUT /instances/{instance_id}/files", "OVM_FILE_UNREADABLE", id, {
        query: path,
        body: archive,
        headers,
      }),
    ]
    for (const { message } of refusals)
      must(message.includes("no such thing"), `the agent's words are not in ${message}`)
    outcome = 2
    const cut = await runtime.raw("GET", `/instances/${id}/files`, { query: path }).then(
      () => false,
      () => true,
    )
    must(cut, "an archive of which not all could be read came to an end")
  }),
  agentPlan("stop-by-the-agent", ["OVMS-API-336"], async (stage) => {
    const { runtime, id, agent } = stage
    await ready(stage)
    await runtime.ask("POST /stop", "", { body: { instance_id: id, grace_ms: 20_000 } })
    await runtime.until("the agent is asked to end its machine", async () => {
      const asked = agent.opened("shutdown").length > 0
      must(
        asked || (await runtime.status(id)).state === "stopping",
        "the machine ended, and its agent was not asked",
      )
      return asked
    })
    await runtime.ask("POST /stop", "", { body: { instance_id: id, grace_ms: 0 } })
    await runtime.reaches(id, "stopped")
    must(agent.opened("shutdown").length === 1, "the stop without a grace time asks the agent as well")
  }),
]
