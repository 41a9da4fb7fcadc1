import { expect, setDefaultTimeout, test } from "bun:test"
import { spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { readFileSync } from "node:fs"
import { readFile, rm, writeFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import { connect } from "@ovms/client"
import { SERVER, serverMissing } from "@ovms/testkit/machines.ts"
import { until } from "@ovms/testkit/until.ts"
import { expectFailure, expectSuccess, finished, Sandbox } from "./sandbox.ts"

// Lane: first, 25 min. A Debian server is made, and booted three times.
// Half a minute of an emulated CPU a boot, and as much for cloud-init: on a busy host many times that.
const BOOT_MS = 1_200_000
/** What one request may wait at most. */
const WAIT_MS = 600_000
setDefaultTimeout(3 * BOOT_MS)
/** ssh's own status; any other is that of the command in the guest. */
const NOT_CONNECTED = 255

// A server that stays, on real input: Debian's packages, GRUB, sshd and cloud-init, reached as servers are, and by the
// agent as a service of systemd, which a cloud image gets at its first boot.

const skip =
  (await serverMissing()) ||
  ["ssh", "ssh-keygen"]
    .filter((program) => !Bun.which(program))
    .map((program) => `${program} is not installed`)
    .join(", ")
if (skip) console.log(`SKIP packages/ovm/test/server.test.ts: ${skip}`)

test.skipIf(Boolean(skip))(
  "a Debian server is reached, gets an agent that renews its clones, is changed, stopped, committed, and run elsewhere [OVMS-FBC-015, OVMS-FBC-016, OVMS-AGT-015]",
  async () => {
    await using here = await Sandbox.create()
    await using there = await Sandbox.create()
    using registry = await serve(here)
    const [image, changed] = [`${registry.address}/demo/server:12`, `${registry.address}/demo/server:12-mine`]
    const key = here.path("key")
    spawnSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", key])
    await here.ok(["pack", "-f", SERVER, "-t", image])

    // Its first boot: by BIOS and GRUB to a login prompt. cloud-init was told its name and who may log in.
    const { instance_id: id } = await here.json([
      ...["run", "--detach", "--name", "web", "--memory", "512MiB", "--publish", "22", "--ssh", "--agent"],
      ...["--hostname", "web-1", "--ssh-key", `${key}.pub`, image],
    ])
    const first = await prompt(here)
    expect(first).toContain("Booting `Debian'")
    const identity = who(first)
    expect(await ssh(here, key, identity, "hostname; echo kept >mine; cat /etc/machine-id")).toBe(
      `web-1\n${identity.machine}\n`,
    )

    // By a key of its own, without setting anything up; what runs there gets what is typed, and its status is ours.
    const within = (words: string[], input = "") =>
      finished(here.begin(["ssh", "--wait", "600", "web", ...words], { input }), BOOT_MS)
    const inside = await within(["cat; whoami; echo oops >&2; exit 7"], "typed\n")
    expect(inside).toEqual({ status: 7, stdout: "typed\novm\n", stderr: "oops\n" })
    expect(await within(["sudo", "-n", "id", "-u"])).toEqual({ status: 0, stdout: "0\n", stderr: "" })
    // The host is known by the key that it showed, and another one is not believed.
    const { identity_file } = (await here.json(["status", "web"])).ssh
    const known = join(dirname(identity_file), "known_hosts")
    expect(await readFile(known, "utf8")).toContain(identity.hostKey)
    await writeFile(known, (await readFile(known, "utf8")).replace(identity.hostKey, keyOf(`${key}.pub`)))
    expectFailure(await within(["true"]), "OVM_GUEST_KEY_CHANGED", ["web", known])
    await rm(known)
    expect((await within(["true"])).status).toBe(0)

    await agentServes(here, id, `${registry.address}/demo/server:warm`)

    // What was written is there after a stop by the power button and another start, and it is the same host.
    expect(await stop(here)).toMatchObject({ status: "stopped", stop_method: "guest" })
    await here.ok(["start", "web"])
    expect(who(await prompt(here))).toEqual(identity)
    expect(await ssh(here, key, identity, "cat mine")).toBe("kept\n")
    expect(await stop(here)).toMatchObject({ status: "stopped", stop_method: "guest" })

    // What it became is one more layer of an image, which runs on another host.
    await here.ok(["commit", "web", "--tag", changed])
    await here.ok(["push", changed])
    await there.ok(["pull", changed])
    expect((await there.json(["inspect", changed])).layers).toHaveLength(2)
    await there.ok(["run", "--detach", "--name", "web", "--memory", "512MiB", "--publish", "22", changed])
    expect(who(await prompt(there))).toEqual(identity)
    expect(await ssh(there, key, identity, "cat mine")).toBe("kept\n")
  },
)

/** The agent is a service of the server's, comes back when it is killed, and renews a clone of the snapshot `warm`. */
async function agentServes(box: Sandbox, id: string, warm: string): Promise<void> {
  const inside = (name: string, script: string) => box.ok(["exec", "--wait", "600", name, "sh", "-c", script])
  const runtime = connect(join(box.home, "ovm.sock"))
  const ready = () => runtime.ready(id, { timeoutMs: WAIT_MS }).then(() => true, String)
  await until("its agent", ready, { is: (said) => said === true, deadlineMs: BOOT_MS - WAIT_MS })
  expect(
    await inside("web", "cat /proc/1/comm; systemctl is-enabled ovm-agent; systemctl is-active ovm-agent"),
  ).toBe("systemd\nenabled\nactive")
  // What runs when the agent goes is lost, and that is said; another one is there at once.
  const cut = await box.ovm(["exec", "web", "sh", "-c", "kill -KILL $PPID; sleep 600"])
  expect(cut).toMatchObject({ status: 125, stderr: expect.stringContaining("OVM_AGENT_UNAVAILABLE") })
  expect(await inside("web", "echo again")).toBe("again")
  await inside("web", "mkdir -p /etc/ovm; echo machine-id hostname >/etc/ovm/renew")
  await box.ok(["snapshot", "web", "--tag", "warm", "--freeze"])
  await box.ok(["run", "-d", "--name", "clone", warm])
  const [hostname, machineId] = (await inside("clone", "hostname; cat /etc/machine-id")).split("\n")
  expect(hostname).toBe("clone")
  expect(machineId).not.toBe(await inside("web", "cat /etc/machine-id"))
  expect(await inside("clone", "cat /etc/hostname; echo written >/root/written; cat /root/written")).toBe(
    "clone\nwritten",
  )
  await box.ok(["rm", "--force", "clone"])
}

interface Identity {
  readonly machine: string
  readonly hostKey: string
}

/** What it shows above the prompt: made at its first boot, and on no disk that was packed. */
function who(console: string): Identity {
  const machine = /^machine-id ([0-9a-f]{32})\r?$/m.exec(console)?.[1]
  const hostKey = /^host-key (ssh-ed25519 \S+)\r?$/m.exec(console)?.[1]
  if (!machine || !hostKey) throw new Error(`it does not say who it is: ${console}`)
  return { machine, hostKey }
}

/** The kind and the key in a file of ssh-keygen. */
function keyOf(path: string): string {
  return readFileSync(path, "utf8").split(" ").slice(0, 2).join(" ")
}

/** The console of its last boot, as soon as somebody could log in. */
function prompt(box: Sandbox): Promise<string> {
  return until("a login prompt", () => box.ok(["logs", "web"]), {
    is: (text) => text.includes("web-1 login:"),
    deadlineMs: BOOT_MS,
    everyMs: 4000,
  })
}

/**
 * What `command` says in the guest, by its published port, as soon as sshd and the network are up, which the
 * prompt does not wait for. Nobody but the host with that key is believed.
 */
async function ssh(box: Sandbox, key: string, { hostKey }: Identity, command: string): Promise<string> {
  const { ports } = await box.json(["port", "web"])
  const known = await box.file("known_hosts", `web ${hostKey}\n`)
  const options = {
    HostKeyAlias: "web",
    UserKnownHostsFile: known,
    StrictHostKeyChecking: "yes",
    BatchMode: "yes",
    ConnectTimeout: 60,
  }
  const args = Object.entries(options).flatMap(([name, value]) => ["-o", `${name}=${value}`])
  const where = ["-F", "none", "-i", key, "-p", `${ports[0].host}`, "ovm@127.0.0.1"]
  const result = await until("sshd", () => finished(spawn("ssh", [...args, ...where, command]), BOOT_MS), {
    is: ({ status }) => status !== NOT_CONNECTED,
    deadlineMs: BOOT_MS,
    everyMs: 500,
  }).catch(async (error) => {
    const [said, status] = [await box.ok(["logs", "web"]), await box.ok(["status", "web"])]
    throw new Error(`${error.message}\n${status}\n${said.slice(-8000)}`)
  })
  expectSuccess(result, ["ssh", command])
  return result.stdout
}

async function stop(box: Sandbox): Promise<unknown> {
  const stopping = box.begin(["stop", "--time", "300", "web", "--json"])
  return JSON.parse((await finished(stopping, BOOT_MS)).stdout)
}

/** An empty registry in this program, until it is disposed of. */
async function serve(box: Sandbox): Promise<Disposable & { readonly address: string }> {
  const child = box.begin([
    "registry",
    "serve",
    "--address",
    "127.0.0.1:0",
    "--root",
    box.path("r"),
    "--json",
  ])
  const [line] = await once(child.stdout ?? child, "data")
  return { address: JSON.parse(`${line}`).address, [Symbol.dispose]: () => void child.kill("SIGTERM") }
}
