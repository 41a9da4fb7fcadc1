import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { mkdir, readFile, writeFile } from "node:fs/promises"
import { machineMissing, UNPACKED } from "@ovms/testkit/machines.ts"
import { packNetGuest } from "./net-guest.ts"
import { Sandbox } from "./sandbox.ts"

// A Linux takes tens of seconds where there is no KVM.
setDefaultTimeout(600_000)

// Projects of Linux guests: what of a file of machines only a guest with a network and an agent can show.

const skip = await machineMissing()
if (skip) console.log(`SKIP packages/ovm/test/compose-guests.test.ts: ${skip}`)

/** Each waits for another, by another check. */
const CHECKS = `
name: checks
machines:
  web:
    image: net:1
    ports: [80]
    healthcheck: { http: { port: 80, path: /index.html }, interval: 200ms }
  port:
    image: net:1
    ports: [80]
    depends_on: { web: { condition: service_healthy } }
    healthcheck: { tcp: 80, interval: 200ms }
  file:
    image: net:1
    agent: true
    network: none
    depends_on: { port: { condition: service_healthy } }
    healthcheck: { exec: [test, -e, /run.sh], interval: 200ms }
  line:
    image: net:1
    agent: true
    network: none
    depends_on: { port: { condition: service_healthy } }
    healthcheck: { exec: "test -e /run.sh && ! false", interval: 200ms }
  agent:
    image: net:1
    agent: true
    network: none
    depends_on: { file: { condition: service_healthy }, line: { condition: service_healthy } }
    healthcheck: { ready: true, interval: 200ms }
`

/** Of the same machines, by checks that find otherwise. */
const NEVER = "interval: 1s, start_period: 0s, retries: 3"
const ILL = `
name: checks
machines:
  web: { image: net:1, ports: [80], healthcheck: { http: { port: 80, path: /nowhere }, ${NEVER} } }
  port: { image: net:1, ports: [80], healthcheck: { exec: ["true"], ${NEVER} } }
  file: { image: net:1, agent: true, network: none, healthcheck: { exec: [test, -e, /nowhere], ${NEVER} } }
`

describe.skipIf(Boolean(skip))("machines from a file, with guests that answer", () => {
  let box: Sandbox
  beforeAll(async () => {
    box = await Sandbox.create()
    await packNetGuest(box, "net:1", "true")
    await box.ok(["pack", "-f", UNPACKED, "-t", "debian:12"])
    await mkdir(box.path("project/src"), { recursive: true })
    await writeFile(box.path("project/src/file"), "of the project\n")
  })
  afterEach(async () => {
    for (const { instance_id } of await box.instances("--all")) await box.ok(["rm", "--force", instance_id])
  })
  afterAll(() => box?.[Symbol.asyncDispose]())

  const up = async (text: string) => {
    await writeFile(box.path("project/machines.yaml"), text)
    return await box.ovm(["up", "-d", "--wait"], { cwd: box.path("project") })
  }

  test("http, tcp, exec and ready are seen healthy, one after the other, and what answers otherwise is not", async () => {
    const { status, stderr } = await up(CHECKS)
    expect({ status, stderr }).toMatchObject({ status: 0 })
    const order = [...stderr.matchAll(/^(\w+) +healthy$/gm)].map(([, name]) => name)
    expect(order.slice(0, 2)).toEqual(["web", "port"])
    expect(order.slice(2, 4).sort()).toEqual(["file", "line"])
    expect(order.slice(4)).toEqual(["agent"])

    // The same machines, which have booted and so are given no time for that.
    const ill = await up(ILL)
    expect(ill.status).not.toBe(0)
    expect(ill.stderr).toContain("checks-web is not healthy: /nowhere answered 404")
    expect(ill.stderr).toContain("checks-file is not healthy: test -e /nowhere ended with status 1")
    expect(ill.stderr).toMatch(/OVM_UNSUPPORTED: .*was not started with an agent/)
  })

  test("a command is what a machine is for: others wait for its end, and are not begun where it failed", async () => {
    const text = `
name: jobs
machines:
  first:
    image: debian:12
    network: none
    volumes: ["../results:/results"]
    working_dir: /results
    environment: { NAME: first, HERE: }
    command: echo "$$NAME $$HERE" >file
  second:
    image: debian:12
    network: none
    volumes: ["../results:/results"]
    environment: [NAME=second, EMPTY=]
    command: [sh, -c, 'echo "$$NAME [$$EMPTY] after $$(cat /results/file)" >/results/file; exit 9']
    depends_on: { first: { condition: service_completed_successfully } }
  third:
    image: debian:12
    depends_on: { second: { condition: service_completed_successfully } }
`
    await mkdir(box.path("results"))
    await writeFile(box.path("project/.env"), "HERE=and here\n")
    const { status, stderr } = await up(text)
    expect(status).not.toBe(0)
    expect(stderr).toMatch(/OVM_STATE_CONFLICT: jobs-second .*9/)
    expect(stderr).toMatch(/^third +not started: it needs second$/m)
    expect(await readFile(box.path("results/file"), "utf8")).toBe("second [] after first and here\n")
    expect((await box.json(["status", "jobs-second"])).exit).toEqual({ reason: "result", status: 9 })
    await writeFile(box.path("project/.env"), "")
    expect((await up(text)).stderr).toContain("machines.first.environment.HERE: HERE has no value")
  })

  test("a folder beside the file is in the guest, and part of what the machine is", async () => {
    const text = `
name: folders
machines:
  one:
    image: debian:12
    network: none
    volumes: [./src:/src:ro, "../out:/out"]
    healthcheck: { exec: [grep, of the project, /src/file], start_period: 3m }
`
    await mkdir(box.path("out"))
    expect(await up(text)).toMatchObject({ status: 0 })
    expect((await box.json(["status", "folders-one"])).shares).toMatchObject([
      { source: box.path("project/src"), target: "/src", read_only: true, mounted: true },
      { source: box.path("out"), target: "/out", read_only: false, mounted: true },
    ])
    await box.ok(["exec", "folders-one", "sh", "-c", "cat /src/file >/out/copy"])
    expect(await readFile(box.path("out/copy"), "utf8")).toBe("of the project\n")
    expect((await up(text)).stderr).toMatch(/^one +runs$/m)
    expect((await up(text.replace("/src:ro", "/src"))).stderr).toContain("defined otherwise")
    const missing = await up(text.replace("./src", "./scr"))
    expect(missing).toMatchObject({
      stderr: expect.stringContaining(`OVM_FILE_UNREADABLE: ${box.path("project/scr")}`),
    })
  })
})
