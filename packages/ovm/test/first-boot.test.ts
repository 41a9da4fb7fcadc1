import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { spawnSync } from "node:child_process"
import { existsSync } from "node:fs"
import { readFile, stat } from "node:fs/promises"
import { join } from "node:path"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { Sandbox } from "./sandbox.ts"

setDefaultTimeout(240_000)

const skip =
  guestMissing || (Bun.which("qemu-system-x86_64") ? "" : "(skipped: qemu-system-x86_64 is not installed)")
if (skip) console.log(`SKIP packages/ovm/test/first-boot.test.ts: ${skip}`)

const KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJhc2U2NGJhc2U2NGJhc2U2NGJhc2U2NGJh me@here"

describe.skipIf(Boolean(skip))("what a guest is told at its first boot", () => {
  let box: Sandbox
  beforeAll(async () => {
    box = await Sandbox.create()
    await packGuest(join(box.home, "store"), "guest:1", "tick_ms=50 hlt=1")
    await box.file("key.pub", `# mine\n${KEY}\n`)
    await box.file("user-data", "#cloud-config\npackages: [nginx]\n")
    await box.file("network-config", "version: 2\n")
  })
  afterAll(() => box[Symbol.asyncDispose]())

  test("comes from options and files, and is on the disk beside the machine", async () => {
    const told = ["--hostname", "web", "--ssh-key", "key.pub", "--user-data", "user-data"]
    const args = [
      "run",
      "--detach",
      "--name",
      "web",
      ...told,
      "--network-config",
      "network-config",
      "guest:1",
    ]
    const { instance_id } = await box.json(args)
    const image = join(box.home, "instances", instance_id, "first-boot.iso")
    const content = (name: string) =>
      spawnSync("isoinfo", ["-i", image, "-R", "-x", `/${name}`], { encoding: "utf8" }).stdout
    expect(JSON.parse(content("meta-data"))).toEqual({
      "instance-id": instance_id,
      "local-hostname": "web",
      "public-keys": [KEY],
    })
    expect(content("user-data")).toBe("#cloud-config\npackages: [nginx]\n")
    expect(content("network-config")).toBe("version: 2\n")
    await box.ok(["rm", "--force", "web"])
  })

  // OVMS-FBC-006, OVMS-FBC-008, OVMS-FBC-009, OVMS-FBC-010, OVMS-FBC-011
  test("with --ssh is a key of the machine's own, the same in every life, and gone with it", async () => {
    const { instance_id } = await box.json(["run", "-d", "--name", "web", "--ssh-user", "me", "guest:1"])
    const folder = join(box.home, "instances", instance_id)
    const content = (name: string) =>
      spawnSync("isoinfo", ["-i", join(folder, "first-boot.iso"), "-R", "-x", `/${name}`], {
        encoding: "utf8",
      }).stdout
    expect(content("vendor-data")).toBe('#cloud-config\n{"user":{"name":"me"}}\n')
    const identity_file = join(folder, "ssh/id_ed25519")
    const info = await box.json(["status", "web"])
    expect(info).toMatchObject({
      ssh: { user: "me", identity_file },
      network: { ports: [{ protocol: "tcp", address: "127.0.0.1", guest: 22 }] },
    })
    expect((await stat(identity_file)).mode & 0o777).toBe(0o600)
    expect((await stat(join(folder, "ssh"))).mode & 0o777).toBe(0o700)
    const { stdout } = spawnSync("ssh-keygen", ["-y", "-P", "", "-f", identity_file], { encoding: "utf8" })
    const keys = () => JSON.parse(content("meta-data"))["public-keys"]
    expect(keys()).toEqual([stdout.trim()])
    const secret = (await readFile(identity_file, "utf8")).split("\n")[3] ?? ""
    const known = [JSON.stringify(info), await readFile(join(box.home, "daemon.log"), "utf8")]
    for (const text of known) expect(text).not.toContain(secret)
    await box.ok(["restart", "--time", "0", "web"])
    expect(keys()).toEqual([stdout.trim()])
    await box.ok(["rm", "--force", "web"])
    expect(existsSync(folder)).toBe(false)
  })

  test("ovm ssh says what keeps it from logging in", async () => {
    await box.ok(["run", "--detach", "--name", "closed", "guest:1"])
    const { stderr } = await box.fails(["ssh", "closed"], "OVM_UNSUPPORTED", ["closed", "port 22"])
    expect(stderr).toContain("ovm run --ssh")
    await box.ok(["run", "--detach", "--name", "deaf", "--ssh", "-p", "22", "guest:1"])
    expect((await box.json(["port", "deaf"])).ports).toHaveLength(1)
    await box.fails(["ssh", "--wait", "1", "deaf", "ls", "-l"], "OVM_GUEST_UNREACHABLE", ["deaf", "--wait"])
    await box.ok(["stop", "--time", "0", "deaf"])
    await box.fails(["ssh", "deaf"], "OVM_STATE_CONFLICT", ["deaf is stopped", "ovm start deaf"])
    await box.ok(["rm", "--force", "closed", "deaf"])
  })

  test("is refused before there is an instance, naming what is wrong", async () => {
    const refused = (args: string[], code: Parameters<Sandbox["fails"]>[1], culprits: string[]) =>
      box.fails(["run", "--detach", ...args, "guest:1"], code, culprits)
    await box.file("key", "-----BEGIN OPENSSH PRIVATE KEY-----\nx\n-----END OPENSSH PRIVATE KEY-----\n")
    await box.file("empty.pub", "# nothing\n")
    await box.file("odd.pub", `${KEY}\nssh-ed25519 ?\n`)
    await box.file("large", Buffer.alloc((48 << 10) + 1, "x"))
    await box.file("binary", Buffer.from([0xff, 0xfe, 0xff]))
    await refused(["--ssh-key", "key"], "OVM_USAGE", ["key is a private key", "key.pub"])
    await refused(["--ssh-key", "empty.pub"], "OVM_USAGE", ["empty.pub has no key"])
    await refused(["--ssh-key", "odd.pub"], "OVM_USAGE", ["odd.pub has a line that is no public key"])
    await refused(["--ssh-key", "agent"], "OVM_USAGE", ["the SSH agent gives no keys"])
    await refused(["--user-data", "large"], "OVM_TOO_LARGE", ["large"])
    await refused(["--user-data", "/dev/zero"], "OVM_FILE_UNREADABLE", ["/dev/zero"])
    await refused(["--network-config", "binary"], "OVM_USAGE", ["binary is no text in UTF-8"])
    await refused(["--meta-data", "user-data", "--hostname", "web"], "OVM_USAGE", [
      "--meta-data",
      "--hostname",
    ])
    await refused(["--meta-data", "user-data", "--ssh"], "OVM_USAGE", ["--meta-data", "--ssh"])
    await refused(["--ignition", "user-data", "--ssh"], "OVM_USAGE", ["--ignition", "--ssh"])
    await refused(["--ignition", "user-data"], "OVM_REQUEST_INVALID", ["ignition", "OVMS-FBC-012"])
    await refused(["--ssh-user", "Root"], "OVM_REQUEST_INVALID", ["overrides/ssh/user", "A small letter"])
    await refused(["--ssh", "--network", "none"], "OVM_UNSUPPORTED", ["no network"])
    await refused(["--hostname", "-web-"], "OVM_REQUEST_INVALID", ["hostname"])
    await refused(["--user-data", "nowhere"], "OVM_FILE_UNREADABLE", ["nowhere"])
    expect(await box.instances("--all")).toEqual([])
  })
})
