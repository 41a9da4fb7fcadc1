import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test"
import { mkdir, rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { PROGRAM, Sandbox } from "./sandbox.ts"

setDefaultTimeout(240_000)

interface Finding {
  readonly check: string
  readonly state: string
  readonly message: string
  readonly fix?: string
}

let box: Sandbox
beforeAll(async () => {
  box = await Sandbox.create()
})
afterAll(() => box[Symbol.asyncDispose]())

async function findings(
  env: Record<string, string> = {},
): Promise<{ status: number; of: Map<string, Finding> }> {
  const { status, stdout } = await box.ovm(["doctor", "--json"], { env })
  const { findings } = JSON.parse(stdout) as { findings: Finding[] }
  return { status, of: new Map(findings.map((finding) => [finding.check, finding])) }
}

test("a host without QEMU is told what to install, and the status says it", async () => {
  const { status, of } = await findings({ OVM_QEMU: "/nowhere/qemu" })
  expect(status).toBe(1)
  expect(of.get("qemu")).toMatchObject({ state: "failure", fix: "apt-get install qemu-system-x86" })
  expect(of.get("locks")?.state).toBe("ok")
  expect(of.get("daemon")?.message).toContain("not running")
})

test("settings that cannot be understood are failures, each with its file", async () => {
  await mkdir(box.home, { recursive: true })
  await writeFile(join(box.home, "daemon.json"), '{"limits":{"running":0}}')
  await writeFile(join(box.home, "registries.json"), "[]")
  try {
    const { status, of } = await findings()
    expect(status).toBe(1)
    expect(of.get("settings")).toMatchObject({
      state: "failure",
      message: expect.stringContaining("running"),
    })
    expect(of.get("registries")).toMatchObject({
      state: "failure",
      message: expect.stringContaining("registries.json"),
    })
    expect(of.get("policy")?.state).toBe("ok")
  } finally {
    await box.shell(`rm ${box.home}/daemon.json ${box.home}/registries.json`)
  }
})

test("a VMM that there is not, and passt that is not installed", async () => {
  await mkdir(box.home, { recursive: true })
  await writeFile(join(box.home, "daemon.json"), '{"vmms":["foo"]}')
  try {
    const { of } = await findings({ PATH: "/nowhere" })
    expect(of.get("foo")).toMatchObject({ state: "failure", message: expect.stringContaining("ovm-vmm-foo") })
    expect(of.get("network")).toMatchObject({ state: "warning", fix: "apt-get install passt" })
    await writeFile(join(box.home, "daemon.json"), '{"vmms":["../foo"]}')
    expect((await findings()).of.get("settings")).toMatchObject({
      state: "failure",
      message: expect.stringContaining(
        `${join(box.home, "daemon.json")}: vmms[0]: no VMM is called "../foo"`,
      ),
    })
  } finally {
    await rm(join(box.home, "daemon.json"))
  }
})

test("few descriptors are a warning, and no failure", async () => {
  const { stdout } = await box.shell("ulimit -n 256; ovm doctor")
  expect(stdout).toMatch(/^warning +descriptors: a process may have 256 files open\n +to mend it: ulimit -n/m)
})

test("a daemon that does not answer is a failure, with what ends it", async () => {
  await box.ok(["daemon", "--detach"])
  const pid = Number((await box.json(["info"])).daemon.pid)
  try {
    expect((await findings()).of.get("daemon")).toMatchObject({
      state: "ok",
      message: expect.stringContaining(`${pid}`),
    })
    process.kill(pid, "SIGSTOP")
    expect((await findings()).of.get("daemon")).toMatchObject({
      state: "failure",
      fix: `kill -9 ${pid}; machines outlive it`,
    })
  } finally {
    process.kill(pid, "SIGCONT")
  }
})

test.skipIf(process.getuid?.() !== 0)(
  "root is told whether machines can share networks, and of what is missing",
  async () => {
    const { of } = await findings()
    const networks = of.get("networks")
    const lacks = ["ip", "bridge", "nft", "dnsmasq"].filter(
      (name) => !Bun.which(name, { PATH: `${process.env.PATH}:/usr/sbin:/sbin` }),
    )
    expect(networks?.state).toBe(lacks.length === 0 ? "ok" : "warning")
    for (const name of lacks) expect(networks?.message).toContain(name)
    if (lacks.length > 0) expect(networks?.fix).toStartWith("apt-get install ")
  },
)

/** In mounts of its own: the folder is a file system that the kernel makes read-only after an error. */
const SPOILT = `truncate -s 32M "$0/image" && PATH=$PATH:/usr/sbin:/sbin && mkfs.ext4 -q -F "$0/image" && mkdir -p "$0/spoilt" &&
mount -o loop,errors=remount-ro "$0/image" "$0/spoilt" && mkdir "$0/spoilt/home" &&
at=$(awk -v at="$0/spoilt" '$5 == at { print $3 }' /proc/self/mountinfo) &&
error=/sys/fs/ext4/$(basename "$(readlink "/sys/dev/block/$at")")/trigger_fs_error && [ -w "$error" ]`
const spoil = ["unshare", "-m", "sh", "-c"]

test("a file system that the kernel has made read-only is a failure", async () => {
  const tried = Bun.spawnSync([...spoil, SPOILT, box.directory])
  if (tried.exitCode !== 0) return console.log("SKIP: no file system can be mounted and spoilt here")
  const script = `${SPOILT} && echo 1 >"$error" && OVM_HOME=$0/spoilt/home exec ${PROGRAM.join(" ")} doctor --json`
  const said = Bun.spawnSync([...spoil, script, box.directory], { env: box.environment() })
  expect(said.exitCode).toBe(1)
  const { findings } = JSON.parse(said.stdout.toString()) as { findings: Finding[] }
  expect(findings.find(({ check }) => check === "root")).toMatchObject({
    state: "failure",
    message: expect.stringContaining(`${box.directory}/spoilt/home cannot be written to`),
    fix: expect.stringContaining("read-only"),
  })
})
