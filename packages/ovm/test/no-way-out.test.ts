import { expect, setDefaultTimeout, test } from "bun:test"
import { execFileSync } from "node:child_process"
import { machineMissing } from "@ovms/testkit/machines.ts"
import { until } from "@ovms/testkit/until.ts"
import { World, worldMissing } from "@ovms/testkit/world.ts"
import { packNetGuest } from "./net-guest.ts"
import { PROGRAM, Sandbox } from "./sandbox.ts"
import { ASK, sayAgain } from "./udp-words.ts"

// A Linux takes tens of seconds where there is no KVM.
setDefaultTimeout(600_000)

const skip =
  (await machineMissing()) || worldMissing() || (Bun.which("passt") ? "" : "passt is not installed")
if (skip) console.log(`SKIP packages/ovm/test/no-way-out.test.ts: ${skip}`)

const HOST = ["192.0.2.2", "2001:db8:1::2"]
const ROUTER = ["192.0.2.1", "2001:db8:1::1"]
const PUBLIC = { four: "198.51.100.7", six: "2001:db8:7::7" }
const PRIVATE = "10.9.0.1"

/** A host in a world, whose cable is `cut` before there is a daemon on it. */
class Scene implements AsyncDisposable {
  private constructor(
    readonly world: World,
    readonly box: Sandbox,
  ) {}

  static async create(cut: (scene: Scene) => void): Promise<Scene> {
    const world = await World.create(HOST, [...ROUTER, PUBLIC.four, PUBLIC.six, PRIVATE])
    const scene = new Scene(world, await Sandbox.create(world.host.inside))
    cut(scene)
    scene.on(...PROGRAM, "daemon", "--detach")
    await packNetGuest(scene.box, "net:1", "true\n")
    return scene
  }

  /** What a command says that is run on the host. */
  on(...command: readonly string[]): string {
    const [file = "", ...args] = [...this.world.host.inside, ...command]
    return execFileSync(file, args, { env: this.box.environment(), timeout: 60_000 }).toString()
  }

  /** The warnings of a machine that has begun, once its guest has an address. */
  async run(name: string, ...args: readonly string[]): Promise<string> {
    await this.box.ok(["run", "-d", "--agent", "--name", name, ...args])
    return await this.warnings(name)
  }

  async warnings(name: string): Promise<string> {
    await this.box.ok(["exec", "--wait", "300", name, "true"])
    await until("an address", () => this.addressOf(name), { is: (found) => found !== "" })
    return (await this.box.json(["status", name])).warnings.join("\n")
  }

  /** The guest's, and its router. */
  async addressOf(name: string): Promise<string> {
    const script =
      "ip -4 -o addr show scope global | awk '{ print $4 }'; ip -4 route | sed -n 's/^default via \\([^ ]*\\).*/\\1/p'"
    return (await this.box.ok(["exec", name, "sh", "-c", script])).trim()
  }

  /** What the guest's web server says by a port of the host. */
  async answer(port: number, address = "127.0.0.1"): Promise<string> {
    const asking = `fetch("http://${address}:${port}/").then((r) => r.text()).then(console.log)`
    return await until(`an answer of port ${port}`, () => {
      try {
        return this.on(process.execPath, "-e", asking).trim()
      } catch {
        return undefined
      }
    })
  }

  /** Which of these the guest connects to. */
  async reached(name: string, ...addresses: readonly string[]): Promise<string[]> {
    const tries = addresses.map(
      (one) => `{ nc -w 3 ${one} 7000 -e /bin/true >/dev/null 2>&1 && echo ${one}; } &`,
    )
    const said = await this.box.ok(["exec", name, "sh", "-c", `${tries.join(" ")} wait`])
    return said.split("\n").filter(Boolean).sort()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.box[Symbol.asyncDispose]()
    this.world[Symbol.dispose]()
  }
}

const macOf = async (box: Sandbox, name: string) => (await box.json(["status", name])).network.mac

// OVMS-MAN-112, OVMS-MAN-105, OVMS-MAN-108, OVMS-MAN-110
test.skipIf(Boolean(skip))(
  "a machine starts on a host that has a loopback alone; its ports lead into it, and out of it leads what comes later",
  async () => {
    await using scene = await Scene.create(({ world }) =>
      world.host.ip("link", "set", "near", "netns", String(world.others.pid)),
    )
    const { world, box } = scene
    const ports = ["-p", "8080:80", "-p", "5353:53/udp"]
    expect(await scene.run("web", ...ports, "net:1")).toContain("no way out")
    const mac = await macOf(box, "web")
    expect(await scene.addressOf("web")).toBe("192.0.0.2/29\n192.0.0.1")
    expect(await scene.answer(8080)).toBe(`mac ${mac}`)
    await sayAgain(box, "web")
    expect(scene.on("python3", "-c", ASK, "127.0.0.1 5353")).toBe("hello 127.0.0.1 5353\n")
    await box.ok(["port", "add", "web", "8081:80"])
    await box.ok(["port", "add", "web", "5354:53/udp"])
    expect(await scene.answer(8081)).toBe(`mac ${mac}`)
    expect(scene.on("python3", "-c", ASK, "127.0.0.1 5354")).toBe("hello 127.0.0.1 5354\n")
    expect(await scene.reached("web", "192.0.0.1", "192.0.0.8", PUBLIC.four)).toEqual([])
    await box.fails(["port", "add", "web", "[::1]:8082:80"], "OVM_UNSUPPORTED", ["[::1]:8082", "IPv6"])
    const everywhere = ["-p", "0.0.0.0:8083:80", "-p", "[::]:8083:80"]
    await box.fails(["run", "-d", ...everywhere, "net:1"], "OVM_UNSUPPORTED", ["[::]:8083", "IPv6"])
    expect((await box.ovm(["doctor"])).stdout).toContain("no way out")

    // A clone, and one that is started again.
    await box.ok(["snapshot", "web", "--tag", "up"])
    expect(await scene.run("clone", "-p", "8090:80", "net:up")).toContain("no way out")
    expect(await scene.answer(8090)).toBe(`mac ${mac}`)
    await box.ok(["rm", "--force", "clone"])
    expect(await scene.run("shut", "--outbound", "off", "-p", "8091:80", "net:1")).not.toContain("no way out")
    await box.ok(["rm", "--force", "shut"])

    // The cable comes.
    const [four = "", six = ""] = HOST
    world.others.ip("link", "set", "near", "netns", String(world.host.pid))
    world.host.ip("link", "set", "near", "up")
    world.host.ip("addr", "add", `${four}/24`, "dev", "near")
    world.host.ip("addr", "add", `${six}/64`, "dev", "near", "nodad")
    world.host.ip("route", "add", "default", "via", ROUTER[0] ?? "")
    expect(await scene.reached("web", PUBLIC.four, PRIVATE, "192.0.0.1")).toEqual([PUBLIC.four])
    expect(world.host.contacts).toEqual([])
    await box.ok(["restart", "--time", "0", "web"])
    expect(await scene.warnings("web")).not.toContain("no way out")
    expect(await scene.addressOf("web")).toBe(`${four}/24\n${ROUTER[0]}`)
    expect(await scene.answer(8080)).toBe(`mac ${mac}`)
  },
)

// OVMS-MAN-112
test.skipIf(Boolean(skip))(
  "a host that has a way out by IPv6 alone has ports of IPv4 all the same",
  async () => {
    await using scene = await Scene.create(({ world }) => world.host.ip("-4", "route", "del", "default"))
    expect(await scene.run("web", "-p", "8080:80", "-p", "[::1]:8081:80", "net:1")).not.toContain(
      "no way out",
    )
    const mac = await macOf(scene.box, "web")
    expect(await scene.answer(8080)).toBe(`mac ${mac}`)
    expect(await scene.answer(8081, "[::1]")).toBe(`mac ${mac}`)
    const reached = async () => (await scene.reached("web", PUBLIC.four, PUBLIC.six, PRIVATE, ...HOST)).join()
    await until("IPv6 in the guest", reached, { is: (found) => found === PUBLIC.six })
    expect(scene.world.host.contacts).toEqual([])
  },
)

// OVMS-MAN-105: ways out that passt takes no addresses from.
test.skipIf(Boolean(skip))("a default route in two halves, as VPNs make it, is a way out", async () => {
  await using scene = await Scene.create(({ world }) => {
    for (const half of ["0.0.0.0/1", "128.0.0.0/1"])
      world.host.ip("route", "add", half, "via", ROUTER[0] ?? "", "dev", "near")
    world.host.ip("-4", "route", "del", "default")
    world.host.ip("-6", "route", "del", "default")
  })
  expect(await scene.run("web", "-p", "8080:80", "net:1")).not.toContain("no way out")
  expect(await scene.answer(8080)).toBe(`mac ${await macOf(scene.box, "web")}`)
  expect(await scene.reached("web", PUBLIC.four, PRIVATE, ...HOST.slice(0, 1))).toEqual([PUBLIC.four])
  expect(scene.world.host.contacts).toEqual([])
})
