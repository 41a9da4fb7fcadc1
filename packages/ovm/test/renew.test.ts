import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { mkdir } from "node:fs/promises"
import { join } from "node:path"
import { connect, type Runtime } from "@ovms/client"
import { machineMissing, UNPACKED } from "@ovms/testkit/machines.ts"
import { until } from "@ovms/testkit/until.ts"
import { Sandbox } from "./sandbox.ts"

// A Linux takes tens of seconds where there is no KVM.
setDefaultTimeout(300_000)

// What is true of a clone by the time that anything of this host reaches it: real guests, and the first that is asked.

const PATIENCE = 200_000
const skip = await machineMissing()
if (skip) console.log(`SKIP packages/ovm/test/renew.test.ts: ${skip}`)

/** What a guest's author puts there: a hook that writes down each event, and one that gets a lease. */
const HOOKS = {
  renew: "machine-id hostname # and nothing else",
  "hooks.d/10-log": `#!/bin/sh
case "$1" in *-snapshot) exit 0 ;; esac
echo "$1 $OVMS_EVENT $OVMS_NAME $(cat /etc/machine-id) $(cat /sys/class/net/eth0/carrier)" >>/log
case "$OVMS_NAME $1" in "bad post-resume") echo "no such luck" >&2; exit 3 ;; "slow post-resume") exec sleep 600 ;; esac
`,
  "hooks.d/20-lease": `#!/bin/sh
[ "$1" = link-up ] || exit 0
udhcpc -q -n -f -i eth0 -s /etc/dhcp
`,
  "hooks.d/30-not.one": "#!/bin/sh\necho never >>/log\n",
}

describe.skipIf(Boolean(skip))("a machine after a resume", () => {
  let box: Sandbox
  let runtime: Runtime

  const inside = (name: string, script: string) => box.ok(["exec", name, "sh", "-c", script])

  beforeAll(async () => {
    box = await Sandbox.create()
    await box.ok(["pack", "-f", UNPACKED, "-t", "debian:12"])
    const { instance_id } = await box.json(["run", "-d", "--agent", "--name", "web", "debian:12"])
    runtime = connect(join(box.home, "ovm.sock"))
    await runtime.ready(instance_id, { timeoutMs: PATIENCE })
    // Until then its root is another one.
    await box.console(instance_id, "OVM-DISK writable")
    await mkdir(box.path("ovm/hooks.d"), { recursive: true })
    for (const [name, content] of Object.entries(HOOKS)) await box.file(`ovm/${name}`, content)
    await box.shell(`chmod +x ${box.path("ovm/hooks.d")}/*`)
    await box.ok(["cp", box.path("ovm"), "web:/etc"])
    await inside("web", "ip link set eth0 up")
    await inside("web", "hostname source; echo 0123456789abcdef0123456789abcdef >/etc/machine-id")
    await inside("web", "date -s '2020-01-01 00:00:00'")
    await box.ok(["snapshot", "web", "--tag", "warm"])
  })
  afterAll(() => box?.[Symbol.asyncDispose]())

  test("the first command finds random bytes, names, lease and time of its own [OVMS-AGT-050, OVMS-AGT-051, OVMS-AGT-052, OVMS-AGT-053, OVMS-AGT-056, OVMS-SNP-171]", async () => {
    const first =
      "adjtimex; hostname; cat /etc/machine-id; head -c 16 /dev/urandom | od -An -tx1; ip -o -4 addr show eth0"
    const clones = []
    for (const name of ["one", "two"]) {
      const began = Date.now()
      const { instance_id } = await box.json(["run", "-d", "--name", name, "debian:warm"])
      const asked = Date.now()
      const said = await inside(name, first)
      const answered = Date.now()
      const [, seconds, micros] = /tv_sec: +(\d+)\s+time\.tv_usec: +(\d+)/.exec(said) ?? []
      const [hostname, machineId, random, lease] = said.split("\n").slice(said.split("\n").indexOf(name))
      expect(hostname).toBe(name)
      expect(machineId).toMatch(/^[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}$/)
      expect(lease).toContain("inet ")
      const { agent, started } = await runtime.status(instance_id)
      const renewed = Date.parse(agent?.renewed ?? "")
      expect(renewed).toBeGreaterThanOrEqual(Date.parse(started ?? ""))
      // Read between two times, however long the command's way there and back takes; set a way's length too late, which
      // on a busy host is as long as it took to renew it.
      const late = renewed - began
      expect(Number(seconds) * 1000 + Number(micros) / 1000).toBeWithin(asked - late - 100, answered + 100)
      expect(await box.ok(["status", name])).toContain(`renewed  `)
      expect((await inside(name, "cat /log")).split("\n")).toEqual([
        `post-resume post-resume ${name} ${machineId} 0`,
        `link-up link-up ${name} ${machineId} 1`,
      ])
      clones.push({ machineId, random })
    }
    expect(clones[0]?.machineId).not.toBe(clones[1]?.machineId)
    expect(clones[0]?.random).not.toBe(clones[1]?.random)
    // The source keeps its own, and its clock.
    expect(await inside("web", "hostname; cat /etc/machine-id; date +%Y")).toBe(
      "source\n0123456789abcdef0123456789abcdef\n2020",
    )
    expect((await runtime.status("web").catch(() => undefined))?.agent?.renewed).toBeUndefined()
  })

  test("another daemon does not have the hooks run again", async () => {
    const { pid } = await runtime.info()
    process.kill(pid, "SIGKILL")
    expect((await inside("one", "cat /log")).split("\n")).toHaveLength(2)
    expect((await box.json(["status", "one"])).agent.renewed).toBeDefined()
    await box.ok(["rm", "--force", "one", "two"])
  })

  test("a command that runs while a snapshot is taken goes on, and is ended in the clone [OVMS-AGT-012]", async () => {
    const running = box.ovm(["exec", "web", "sh", "-c", "sleep 4; echo over; exit 4"])
    const count = () => inside("web", "ps | grep -c '[s]leep 4$'")
    await until("it runs", () => count().catch(() => "0"), { is: (found) => found === "1" })
    await box.ok(["snapshot", "web", "--tag", "meanwhile"])
    expect(await running).toEqual({ status: 4, stdout: "over\n", stderr: "" })
    await box.ok(["run", "-d", "--name", "meanwhile", "debian:meanwhile"])
    expect(await inside("meanwhile", "ps | grep -c '[s]leep 4$' || true")).toBe("0")
    await box.ok(["rm", "--force", "meanwhile"])
  })

  test("a hook that fails or hangs is said, and holds nothing up for ever [OVMS-SNP-173]", async () => {
    for (const [name, said] of [
      ["bad", "no such luck"],
      ["slow", "took longer than 30 s"],
    ] as const) {
      await box.ok(["run", "-d", "--name", name, "debian:warm"])
      expect(await box.json(["status", name])).toMatchObject({ state: "running" })
      expect(await inside(name, "hostname; cat /sys/class/net/eth0/carrier")).toBe(`${name}\n1`)
      expect((await box.json(["status", name])).warnings.join()).toContain(said)
    }
    expect((await box.json(["status", "bad"])).warnings.join()).toContain("ended with status 3")
    await box.ok(["rm", "--force", "bad", "slow"])
  })

  test("an agent that does not answer is said; link and input wait for it [OVMS-SNP-170, OVMS-SNP-172, OVMS-SNP-173]", async () => {
    const script = `agent=$PPID; exec </dev/ttyS0 >/dev/ttyS0 2>&1
      (sleep 1; kill -STOP $agent; while sleep 0.5; do echo "CARRIER $(cat /sys/class/net/eth0/carrier)."; done) &
      (while read -r word; do echo "SAID $word."; kill -CONT $agent; done </dev/ttyS0) & wait`
    await inside("web", `setsid sh -c '${script.replaceAll("$PPID", "'$PPID'")}' &`)
    const { instance_id: source } = await box.json(["status", "web"])
    await box.console(source, "CARRIER 1.")
    await box.ok(["snapshot", "web", "--tag", "mute"])
    const began = performance.now()
    const { instance_id: id } = await box.json(["run", "-d", "--name", "mute", "debian:mute"])
    // A daemon that answers a start does not wait for an agent.
    expect(await runtime.status(id)).toMatchObject({ state: "running", agent: { ready: false } })
    const attached = new AbortController()
    const options = { attachment: "here", signal: attached.signal }
    const reading = (async () => {
      for await (const _ of await runtime.attach(id, options));
    })()
    reading.catch(() => {})
    await until("it is attached", () =>
      runtime.type(id, { attachment: "here", bytes: Buffer.from("go\n") }).then(
        () => true,
        () => false,
      ),
    )
    expect(performance.now() - began).toBeGreaterThan(9500)
    const before = (await box.console(id, "SAID go.")).split("SAID go.")[0]
    expect(before).toContain("CARRIER 0.")
    expect(before).not.toContain("CARRIER 1.")
    expect(await inside("mute", "hostname")).toBe("mute")
    await box.console(id, "CARRIER 1.")
    expect((await runtime.status(id)).agent?.renewed).toBeDefined()
    attached.abort()
    await box.ok(["rm", "--force", "mute"])
  })
})
