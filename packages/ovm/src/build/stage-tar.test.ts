import { expect, test } from "bun:test"
import { spawnSync } from "node:child_process"
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { StreamInput } from "../content/archive/input.ts"
import { bytesOf } from "../content/read.ts"
import { StageTar } from "./stage-tar.ts"

test("a name or a target that is not UTF-8 is refused, and not made another one", async () => {
  const folder = await mkdtemp(join(tmpdir(), "ovm-stage-tar-"))
  try {
    const odd = (name: string) => Buffer.concat([Buffer.from(join(folder, name)), Buffer.of(0xff)])
    await mkdir(join(folder, "short"))
    await writeFile(odd("short/name"), "")
    await mkdir(join(folder, "long"))
    await writeFile(odd(`long/${"n".repeat(150)}`), "")
    await mkdir(join(folder, "link"))
    await symlink(Buffer.of(0xff), join(folder, "link/to"))
    for (const [name, format] of [
      ["short", "gnu"],
      ["long", "gnu"],
      ["long", "pax"],
      ["link", "gnu"],
    ] as const) {
      const { stdout } = spawnSync("tar", ["-c", `--format=${format}`, "-C", folder, name])
      const read = async () => {
        const tar = await StageTar.open(new StreamInput(bytesOf(stdout)))
        return await Array.fromAsync(tar.members("to", {}))
      }
      await expect(read()).rejects.toMatchObject({
        code: "OVM_FILE_UNREADABLE",
        message: expect.stringContaining("is not UTF-8"),
      })
    }
  } finally {
    await rm(folder, { recursive: true })
  }
})
