import { expect, setDefaultTimeout, test } from "bun:test"
import { existsSync } from "node:fs"
import { join } from "node:path"
import { until } from "@ovms/testkit/until.ts"
import { finished, Sandbox } from "./sandbox.ts"

// Half a minute of an emulated CPU a boot, which others of the host may take away.
const BOOT_MS = 600_000
setDefaultTimeout(3 * BOOT_MS)

const SOURCE = join(import.meta.dir, "../../../.cache/server/machine.json")
const skip =
  (existsSync(SOURCE) ? "" : "the Debian server is not built (make server, as root)") ||
  (Bun.which("qemu-system-x86_64") ? "" : "qemu-system-x86_64 is not installed")
if (skip) console.log(`SKIP packages/ovm/test/server.test.ts: ${skip}`)

const KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJhc2U2NGJhc2U2NGJhc2U2NGJhc2U2NGJh me@here"

test.skipIf(Boolean(skip))(
  "a Debian server boots by GRUB, is told its name, and stays who it is",
  async () => {
    await using box = await Sandbox.create()
    await box.ok(["pack", "-f", SOURCE, "-t", "server:12"])
    await box.file("key.pub", `${KEY}\n`)

    // Its first boot: by BIOS and GRUB to a login prompt, with the name that cloud-init was told.
    await box.ok([
      ...["run", "--detach", "--name", "web", "--memory", "512MiB"],
      ...["--hostname", "web-1", "--ssh-key", "key.pub", "server:12"],
    ])
    const first = await prompt(box)
    expect(first).toContain("Booting `Debian'")

    // What it made for itself then is there after a stop by its power button and another start.
    expect(await stop(box)).toMatchObject({ status: "stopped", stop_method: "guest" })
    await box.ok(["start", "web"])
    expect(who(await prompt(box))).toEqual(who(first))
    expect(await stop(box)).toMatchObject({ status: "stopped", stop_method: "guest" })
  },
)

/** Its console, as soon as somebody could log in. */
function prompt(box: Sandbox): Promise<string> {
  return until("a login prompt", () => box.ok(["logs", "web"]), {
    is: (text) => text.includes("web-1 login:"),
    deadlineMs: BOOT_MS,
    everyMs: 1000,
  })
}

/** What it shows above the prompt: made at its first boot, and on no disk that was packed. */
function who(console: string): { readonly machine: string; readonly key: string } {
  const machine = /^machine-id ([0-9a-f]{32})\r?$/m.exec(console)?.[1]
  const key = /^host-key (ssh-ed25519 \S+)\r?$/m.exec(console)?.[1]
  if (!machine || !key) throw new Error(`it does not say who it is: ${console}`)
  return { machine, key }
}

async function stop(box: Sandbox): Promise<unknown> {
  const stopping = box.begin(["stop", "--time", "300", "web", "--json"])
  return JSON.parse((await finished(stopping, BOOT_MS)).stdout)
}
