import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import type { InstanceInfo } from "@ovms/client"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { until } from "@ovms/testkit/until.ts"
import { expectFailure, finished, Sandbox } from "./sandbox.ts"

// Each step is a process of its own, on a machine that may be busy.
setDefaultTimeout(240_000)

// Projects of real machines: the bare-metal guest of testkit under the real QEMU.

const skip =
  guestMissing || (Bun.which("qemu-system-x86_64") ? "" : "(skipped: qemu-system-x86_64 is not installed)")
if (skip) console.log(`SKIP packages/ovm/test/compose.test.ts: ${skip}`)

/** `db` writes to a volume, `migrate` ends by itself, `web` goes on. */
const SHOP = `
name: shop
machines:
  web:
    image: steady:1
    network: none
    labels: { tier: front }
    standby_after: 1h
    depends_on:
      db: { condition: service_started }
      migrate: { condition: service_completed_successfully }
  migrate:
    image: brief:1
    network: none
    depends_on: { db: { condition: service_healthy } }
  db:
    image: writes:1
    network: none
    volumes: [data]
    healthcheck: { log: "TICK 3", interval: 100ms }
volumes:
  data: { size: 8MiB }
`

interface Up {
  readonly machine: string
  readonly instance_id: string
  readonly action: string
}

describe.skipIf(Boolean(skip))("several machines from a file", () => {
  let box: Sandbox
  beforeAll(async () => {
    box = await Sandbox.create()
    const store = join(box.home, "store")
    await packGuest(store, "writes:1", "tick_ms=50 hlt=1 button=1 write=3")
    await packGuest(store, "reads:1", "tick_ms=50 hlt=1 button=1 read=3")
    await packGuest(store, "steady:1", "tick_ms=50 hlt=1 button=1")
    await packGuest(store, "brief:1", "tick_ms=20 ticks=2 off=1")
    await packGuest(store, "panicking:1", "tick_ms=20 ticks=2 panic=1")
  })
  afterEach(async () => {
    for (const { instance_id } of await box.instances("--all")) await box.ok(["rm", "--force", instance_id])
    await box.json(["volume", "prune"])
  })
  afterAll(() => box?.[Symbol.asyncDispose]())

  const write = (text: string) => box.file("machines.yaml", text)
  const up = async (...more: string[]): Promise<Map<string, Up>> => {
    const { project, machines } = await box.json(["up", "-d", ...more])
    expect(project).toBe("shop")
    return new Map(machines.map((one: Up) => [one.machine, one]))
  }
  const actions = (found: Map<string, Up>) =>
    Object.fromEntries([...found].map(([name, { action }]) => [name, action]))
  /** What happened to them, in order, as `name type`. */
  const told = async () =>
    (await box.ok(["events", "--json"]))
      .split("\n")
      .map((line) => JSON.parse(line))
      .map(({ name, type }) => `${name} ${type}`)

  test("are started in order, kept, started again, made anew where they differ, and removed with what is asked", async () => {
    await write(SHOP)
    const first = await up("--wait")
    expect(actions(first)).toEqual({ db: "made", migrate: "made", web: "made" })
    const order = (await told()).filter((one) => /(db|migrate|web) (starting|running|stopped)$/.test(one))
    const at = (what: string) => order.indexOf(`shop-${what}`)
    expect(at("db running")).toBeLessThan(at("migrate starting"))
    expect(at("migrate stopped")).toBeLessThan(at("web starting"))
    const { labels, standby_after } = await box.json(["status", "shop-web"])
    expect(standby_after).toBe(3_600_000)
    expect(labels).toMatchObject({
      tier: "front",
      "org.ovms.compose.project": "shop",
      "org.ovms.compose.machine": "web",
      "org.ovms.compose.depends-on": "db,migrate",
    })
    const names = async (...args: string[]) =>
      (await box.json(args)).instances.map(({ name }: { name: string }) => name).sort()
    expect(await names("compose", "ps")).toEqual(["shop-db", "shop-web"])
    expect(await names("compose", "ps", "--all", "-p", "shop")).toEqual([
      "shop-db",
      "shop-migrate",
      "shop-web",
    ])
    expect(await names("compose", "ps", "-p", "other")).toEqual([])
    expect(await box.ok(["compose", "ps"])).toMatch(/^ID .*\n.* shop-(db|web) /)

    // What ended by itself is done once more, as with Docker.
    const again = await up()
    expect(actions(again)).toEqual({ db: "kept", migrate: "started", web: "kept" })
    for (const name of ["db", "migrate", "web"])
      expect(again.get(name)?.instance_id).toBe(first.get(name)?.instance_id)

    await write(SHOP.replace("image: writes:1", "image: reads:1"))
    const changed = await box.ovm(["up", "-d", "db"])
    expect(changed.stderr).toMatch(
      /^db {2}is defined otherwise now: .*its volumes are kept\ndb {2}replaced\n$/,
    )
    const { instance_id: db } = await box.json(["status", "shop-db"])
    expect(db).not.toBe(first.get("db")?.instance_id)
    await box.console(db, "SECTOR 3 [written by the guest")

    const logs = await box.ok(["compose", "logs", "web", "db"])
    expect(logs).toMatch(/^db {3}\| .*GUEST-READY/m)
    expect(logs).toMatch(/^web {2}\| .*GUEST-READY/m)
    expect(logs).not.toContain("migrate")
    expect(await box.ok(["compose", "logs", "--tail", "1", "web"])).toMatch(/^web {2}\| .*$/)
    await box.fails(["compose", "logs", "nothing"], "OVM_INSTANCE_UNKNOWN", ["nothing", "shop"])

    // An image's name that stands for something else is a change, too; and one that the file has no more is told of.
    await packGuest(join(box.home, "store"), "steady:1", "tick_ms=40 hlt=1 button=1")
    const rest = SHOP.replace(/^ {2}migrate:[\s\S]*?(?=^ {2}db:)/m, "").replace(/^ {6}migrate.*\n/m, "")
    await write(rest.replace("writes:1", "reads:1"))
    const moved = await box.ovm(["up", "-d", "--json"])
    expect(moved.stderr).toContain("project shop has migrate as well")
    expect(JSON.parse(moved.stdout).machines.map(({ action }: Up) => action)).toEqual(["kept", "replaced"])
    await up("--remove-orphans")
    expect(await names("compose", "ps", "--all")).toEqual(["shop-db", "shop-web"])

    const before = (await told()).length
    const down = await box.json(["down"])
    expect(down).toMatchObject({ project: "shop", volumes: [] })
    const ends = (await told()).slice(before).filter((one) => one.endsWith("stopped"))
    expect(ends).toEqual(["shop-web stopped", "shop-db stopped"])
    expect(await box.instances("--all")).toEqual([])
    expect((await box.json(["volume", "ls"])).volumes).toMatchObject([{ name: "shop_data" }])
    expect((await box.json(["down", "--volumes"])).volumes).toEqual(["shop_data"])
    expect(await box.json(["down", "--volumes"])).toEqual({
      project: "shop",
      machines: [],
      networks: [],
      volumes: [],
    })
  })

  test("what is wrong is found before anything is started", async () => {
    const fails = async (text: string, code: Parameters<Sandbox["fails"]>[1], ...culprits: string[]) => {
      await write(text)
      await box.fails(["up", "-d"], code, culprits)
    }
    await fails(
      SHOP.replace("labels:", "lables:"),
      "OVM_COMPOSE_INVALID",
      "machines.yaml:7",
      "did you mean labels?",
    )
    await fails(SHOP.replace("steady:1", "stead:1"), "OVM_NAME_UNKNOWN", "stead:1")
    await fails(
      SHOP.replace("size: 8MiB", "external: true"),
      "OVM_VOLUME_UNKNOWN",
      "volume data, which is external",
    )
    await fails(
      SHOP.replace("    network", "    config: { user_data: no.yaml }\n    network"),
      "OVM_FILE_UNREADABLE",
      "no.yaml",
    )
    await fails(
      SHOP.replace("network: none\n    v", "resources: { memory: 1K }\n    v"),
      "OVM_COMPOSE_INVALID",
      "db.resources.memory",
      "too few",
    )
    await box.ok(["create", "--name", "shop-web", "steady:1"])
    await fails(SHOP, "OVM_NAME_IN_USE", "shop-web", "project shop", "ovm rename")
    await box.ok(["rm", "shop-web"])
    await box.ok(["volume", "create", "shop_data", "--size", "1MiB"])
    await fails(SHOP, "OVM_STATE_CONFLICT", "shop_data", "8388608")
    await box.ok(["volume", "rm", "shop_data"])
    expect(await box.instances("--all")).toEqual([])
    expect((await box.json(["volume", "ls"])).volumes).toEqual([])
    await box.fails(["up", "-d", "shop"], "OVM_USAGE", ['"shop"', "web, migrate, db"])
    await box.fails(["up", "--json"], "OVM_USAGE", ["--detach"])
    await box.fails(["up", "-f", "nowhere.yaml"], "OVM_FILE_UNREADABLE", ["nowhere.yaml"])
    await box.fails(["up", "-p", "No!"], "OVM_COMPOSE_INVALID", ["No!"])
    expect(JSON.parse(await box.ok(["up", "--schema"])).required).toEqual(["machines"])
  })

  test("one that fails leaves the others, and up goes on once it is mended", async () => {
    const text = SHOP.replace(
      / {4}healthcheck.*\n/,
      '    healthcheck: { log: "NEVER", interval: 50ms, start_period: 1s, retries: 2 }\n',
    )
    await write(
      `${text.replace("volumes:\n  data", "  alone: { image: steady:1, network: none }\nvolumes:\n  data")}`,
    )
    const { status, stdout, stderr } = await box.ovm(["up", "-d", "--json"])
    expect(status).toBe(6)
    expect(
      JSON.parse(stdout)
        .machines.map(({ machine }: Up) => machine)
        .sort(),
    ).toEqual(["alone"])
    expect(JSON.parse(stderr.trim().split("\n").at(-1) ?? "").errors).toMatchObject([
      { code: "OVM_GUEST_UNREACHABLE", message: expect.stringContaining('"NEVER" is not on its console') },
    ])
    const states = Object.fromEntries((await box.instances("--all")).map(({ name, state }) => [name, state]))
    expect(states).toEqual({ "shop-alone": "running", "shop-db": "running" })
    const { stderr: said } = await box.ovm(["up", "-d"])
    expect(said).toContain("not started: it needs db")
    // Another check is no other machine.
    await write(SHOP)
    expect(actions(await up())).toEqual({ db: "kept", migrate: "made", web: "made" })
  })

  test("two at once make one project of it, and remove it once", async () => {
    await write(SHOP)
    const both = async (...words: string[]) =>
      await Promise.all([words, words].map(async (words) => (await box.ovm(words)).status))
    expect(await both("up", "-d")).toEqual([0, 0])
    const names = (await box.instances("--all")).map(({ name }) => name)
    expect(names.sort()).toEqual(["shop-db", "shop-migrate", "shop-web"])
    expect(await both("down", "--volumes")).toEqual([0, 0])
    expect(await box.instances("--all")).toEqual([])
  })

  test("a daemon that is killed in the middle is no loss", async () => {
    await write(SHOP.replace("TICK 3", "TICK 60"))
    const child = box.begin(["up", "-d"])
    const end = finished(child)
    const [db] = await until("db runs", () => box.instances(), { is: ([one]) => one?.state === "running" })
    const log = await readFile(join(box.home, "daemon.log"), "utf8")
    const pid = Number([...log.matchAll(/"event":"listening".*?"pid":(\d+)/g)].at(-1)?.[1])
    process.kill(pid, "SIGKILL")
    expectFailure(await end, "OVM_DAEMON_UNREACHABLE", [])
    const found = await up()
    expect(actions(found)).toEqual({ db: "kept", migrate: "made", web: "made" })
    expect(found.get("db")?.instance_id).toBe(db.instance_id)
  })

  test("Ctrl-C before all of it is there leaves what is, and says how to go on", async () => {
    await write(SHOP.replace("TICK 3", "TICK 600"))
    await box.ovm(["daemon", "--detach"])
    const { paths } = await box.json(["info"])
    const launching = async () => {
      const answer = await fetch("http://ovm/instances", { unix: paths.socket })
      const { instances } = (await answer.json()) as { instances: InstanceInfo[] }
      return instances.some(({ phase, state }) => phase === "launching" || state === "running")
    }
    const child = box.begin(["up", "-d"])
    const end = finished(child)
    // It has not seen yet that what it has started runs when it is told to end.
    while (!(await launching())) await Bun.sleep(1)
    child.kill("SIGSTOP")
    const [db] = await until("db runs", () => box.instances(), { is: ([one]) => one?.state === "running" })
    child.kill("SIGINT")
    child.kill("SIGCONT")
    expectFailure(await end, "OVM_INTERRUPTED", ["shop", "ovm up goes on with it", "ovm down"])
    await write(SHOP)
    expect((await up()).get("db")).toMatchObject({ instance_id: db.instance_id, action: "kept" })
  })

  test("attached it shows all consoles, and Ctrl-C stops the last one first", async () => {
    await write(SHOP)
    const child = box.begin(["up"])
    const end = finished(child)
    let seen = ""
    child.stdout?.on("data", (chunk) => {
      seen += chunk
    })
    await until("each is seen", () => seen, {
      is: (text) =>
        ["web", "migrate", "db"].every((name) => new RegExp(`^${name} *\\| .*GUEST-READY`, "m").test(text)),
    })
    child.kill("SIGINT")
    expect((await end).status).toBe(0)
    const ends = (await told()).filter((one) => /(web|db) stopped$/.test(one))
    expect(ends.slice(-2)).toEqual(["shop-web stopped", "shop-db stopped"])
    expect((await box.instances("--all")).map(({ state }) => state)).toEqual([
      "stopped",
      "stopped",
      "stopped",
    ])
    // They are kept, and go on with their disks.
    expect(actions(await up())).toEqual({ db: "started", migrate: "started", web: "started" })
    // Removed from elsewhere they have ended, as for whoever stops them.
    const watching = box.begin(["up"])
    const over = finished(watching)
    let followed = ""
    watching.stderr?.on("data", (chunk) => {
      followed += chunk
    })
    await until("each is followed", () => followed, {
      is: (text) => /^web +runs$/m.test(text),
    })
    await box.ok(["down"])
    expect(await over).toMatchObject({ status: 0 })
  })
})
