import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { spawnSync } from "node:child_process"
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
    await refused(["--hostname", "-web-"], "OVM_REQUEST_INVALID", ["hostname"])
    await refused(["--user-data", "nowhere"], "OVM_FILE_UNREADABLE", ["nowhere"])
    expect(await box.instances("--all")).toEqual([])
  })
})
