import { mkdir, readdir, readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { Qga } from "../../agent/qga.ts"
import { tarOf } from "../../agent/tar.ts"
import { must } from "../../check.ts"
import { entriesOf } from "../../foreign/untar.ts"
import { utf8 } from "../../registry/content.ts"
import type { Instance } from "../../subject/runtime.ts"
import type { Plan, Scene } from "../runtime/plan.ts"
import { unique } from "../unique.ts"
import { portOf } from "./stage.ts"

// A guest that has QEMU's guest agent, which is the suite, and none of this specification.

const EXEC = "POST /instances/{instance_id}/exec"
const LINE = "console=ttyS0 tick_ms=50 agent=2"

type Answering = Instance & { readonly agent?: { readonly program?: { name: string } } }

interface Answer {
  readonly exit_code: number
  readonly stdout: string
  readonly stderr: string
}

interface Backstage extends Scene {
  readonly id: string
  readonly qga: Qga
  /** Where its commands make files. */
  readonly temporary: string
}

/** Is QEMU's guest agent of that machine as long as `use` takes. */
async function asQga(scene: Scene, id: string, use: (stage: Backstage) => Promise<void>): Promise<void> {
  const temporary = join(scene.folder, `tmp-${id}`)
  await mkdir(temporary)
  await scene.runtime.says(id, /TICK \d+\r?\n/)
  const qga = await Qga.connect((await portOf(scene, id)).path, temporary)
  try {
    await use({ ...scene, id, qga, temporary })
  } finally {
    await qga.close()
  }
}

async function machineWith(scene: Scene): Promise<string> {
  const document = { devices: [{ type: "serial", name: "way" }] }
  const manifest = await scene.machine({ document, diskless: false })
  return await scene.start({ manifest, overrides: { args: LINE, agent: true } })
}

function execute({ runtime, id }: Backstage, script: string, more: object = {}): Promise<Answer> {
  return runtime.ask<Answer>(EXEC, id, { body: { command: ["sh", "-c", script], ...more } })
}

export const anotherAgentPlans: readonly Plan[] = [
  {
    name: "agent/another-program",
    profile: "agent",
    covers: [
      "OVMS-AGT-120",
      "OVMS-AGT-121",
      "OVMS-AGT-122",
      "OVMS-AGT-123",
      "OVMS-AGT-124",
      "OVMS-AGT-125",
      "OVMS-AGT-126",
      "OVMS-API-510",
    ],
    waits: true,
    async run(scene) {
      const source = await machineWith(scene)
      await asQga(scene, source, async (stage) => {
        const { runtime, id, qga, folder, temporary } = stage
        await runtime.says(id, /AGENT \[org\.qemu\.guest_agent\.0\]\r?\n/)
        await runtime.ask("GET /instances/{instance_id}/ready", id, { query: "timeout_ms=40000" })
        const { agent } = (await runtime.status(id)) as Answering
        must(agent?.program?.name === "qemu-guest-agent", `agent is ${JSON.stringify(agent)}`)
        must(qga.asked[0]?.command === "guest-sync-delimited", `it begins with ${qga.asked[0]?.command}`)
        must(!qga.frozen, "file systems that were frozen before are frozen still")
        const there = { directory: folder, environment: ["SUITE=a b"] }
        const said = await execute(stage, 'pwd; echo "$SUITE" >&2; exit 7', there)
        must(said.exit_code === 7, `a command that ends with 7 has ended with ${said.exit_code}`)
        must(
          said.stdout === `${folder}\n` && said.stderr === "a b\n",
          `output and errors are ${JSON.stringify(said)}`,
        )
        const user = { body: { command: ["true"], user: "nobody" } }
        await runtime.refused(EXEC, /^OVM_(?!INTERNAL)/, id, user)
        await files(stage)
        await leaves(stage)
        await runtime.ask("POST /snapshot", "", { body: { instance_id: id, tag: "suite-qga", freeze: true } })
        must(qga.of("guest-fsfreeze-freeze").length === 1, "nothing was frozen for the snapshot")
        await runtime.until("what was frozen is thawed", async () => !qga.frozen)
        await runtime.until(
          "nothing that was made for commands is left",
          async () => (await readdir(temporary)).length === 0,
        )
      })
    },
  },
  {
    name: "agent/another-program-after-a-resume",
    profile: "agent",
    covers: ["OVMS-AGT-127"],
    waits: true,
    async run(scene) {
      const { runtime, start } = scene
      const source = await machineWith(scene)
      await runtime.says(source, /TICK 2\r?\n/)
      const tag = unique()
      await runtime.ask("POST /snapshot", "", { body: { instance_id: source, tag } })
      const began = Date.now()
      const clone = await start({ manifest: `localhost/conformance:${tag}` })
      await asQga(scene, clone, async ({ qga }) => {
        await runtime.until("the clock is set", async () => qga.of("guest-set-time").length > 0)
        const time = Number(qga.of("guest-set-time")[0]?.values.time) / 1e6
        must(time >= began && time <= Date.now(), "the time that it is given is not the host's")
        const pools = () =>
          qga.of("guest-file-open").filter(({ values }) => /^\/dev\/u?random$/.test(String(values.path)))
        const seeds = () =>
          qga
            .of("guest-file-write")
            .filter(({ values }) => Buffer.from(String(values["buf-b64"]), "base64").length === 32)
        await runtime.until(
          "32 bytes go into the kernel's pool",
          async () => pools().length > 0 && seeds().length > 0,
        )
      })
    },
  },
]

/** Copies in and out, by the guest's own tar. */
async function files({ runtime, id, folder }: Backstage): Promise<void> {
  const top = join(folder, "copied")
  await mkdir(top)
  const query = (path: string) => `path=${encodeURIComponent(path)}`
  const body = tarOf({ name: "file", mode: 0o640, content: utf8("new content\n") })
  const headers = { "content-type": "application/x-tar" }
  const put = await runtime.raw("PUT", `/instances/${id}/files`, { query: query(top), body, headers })
  must(put.status === 204, `files were answered with ${put.status}: ${put.text}`)
  must((await readFile(join(top, "file"), "utf8")) === "new content\n", "the file has other content")
  await writeFile(join(top, "file"), "as it is\n")
  const { status, text } = await runtime.raw("GET", `/instances/${id}/files`, { query: query(top) })
  must(status === 200, `files were answered with ${status}`)
  const found = entriesOf(Buffer.from(text)).find(({ name }) => name.endsWith("copied/file"))
  must(found?.content.toString() === "as it is\n", "the file came out with other content")
}

/** A client that leaves its command. */
async function leaves({ runtime, id, folder }: Backstage): Promise<void> {
  const mark = join(folder, "pid")
  const body = { command: ["sh", "-c", `echo $$ >${mark}; echo under way; sleep 300`] }
  const query = "attachment=6f1d2c3b-4a59-4687-9a0b-c1d2e3f40518"
  await runtime.raw("POST", `/instances/${id}/exec/stream`, { body, query, onData: () => true })
  const pid = Number(await readFile(mark, "utf8"))
  await runtime.until("the command whose client has gone is killed", async () => {
    const stat = await readFile(`/proc/${pid}/stat`, "latin1").catch(() => "")
    return stat === "" || /\) [ZX] /.test(stat)
  })
}
