import { afterAll, beforeAll, expect, test } from "bun:test"
import { spawnSync } from "node:child_process"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { treeAsTar } from "./write.ts"

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "ovm-tree-"))
  spawnSync("mkfifo", [join(folder, "pipe")])
  await writeFile(join(folder, "file"), "kept\n")
})
afterAll(() => rm(folder, { recursive: true }))

async function written(path: string): Promise<string> {
  const pieces = []
  for await (const piece of treeAsTar(path, "named")) pieces.push(piece)
  return Buffer.concat(pieces).toString("latin1")
}

test("a pipe in a folder is left out, and one that was named itself is refused", async () => {
  const text = await written(folder)
  expect(text).toContain("named/file\0")
  expect(text).not.toContain("named/pipe")
  await expect(written(join(folder, "pipe"))).rejects.toMatchObject({
    code: "OVM_FILE_UNREADABLE",
    message: `${join(folder, "pipe")}: it is neither a file nor a folder`,
  })
  await expect(written(join(folder, "none"))).rejects.toMatchObject({ code: "OVM_FILE_UNREADABLE" })
})
