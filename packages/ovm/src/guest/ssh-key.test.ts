import { expect, test } from "bun:test"
import { spawnSync } from "node:child_process"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { newSshKey } from "./ssh-key.ts"

const missing = Bun.which("ssh-keygen") ? "" : "(skipped: ssh-keygen is not installed)"

/** What ssh-keygen says: a reader that is not ours. */
function keygen(...args: string[]): string {
  const { status, stdout, stderr } = spawnSync("ssh-keygen", args, { encoding: "utf8" })
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" })
  return stdout.trim()
}

test.skipIf(missing !== "")(`a key is one that others read, sign with and verify ${missing}`, async () => {
  const folder = await mkdtemp(join(tmpdir(), "ovm-key-"))
  try {
    // Of every length that the padding depends on.
    for (let length = 1; length <= 8; length++) {
      const comment = "c".repeat(length)
      const { privateKey, publicKey } = newSshKey(comment)
      const path = join(folder, `key-${length}`)
      await writeFile(path, privateKey, { mode: 0o600 })
      expect(keygen("-y", "-P", "", "-f", path)).toBe(publicKey)
      expect(keygen("-l", "-f", path)).toMatch(new RegExp(`^256 SHA256:\\S+ ${comment} \\(ED25519\\)$`))
      await writeFile(join(folder, "text"), "hello")
      spawnSync("ssh-keygen", ["-q", "-Y", "sign", "-n", "file", "-f", path, join(folder, "text")])
      await writeFile(join(folder, "allowed"), `me ${publicKey}\n`)
      const { status } = spawnSync(
        "ssh-keygen",
        [
          "-Y",
          "verify",
          "-n",
          "file",
          "-I",
          "me",
          "-f",
          join(folder, "allowed"),
          "-s",
          join(folder, "text.sig"),
        ],
        { input: "hello" },
      )
      expect(status).toBe(0)
      await rm(join(folder, "text.sig"))
    }
    expect(newSshKey("x").publicKey).not.toBe(newSshKey("x").publicKey)
  } finally {
    await rm(folder, { recursive: true })
  }
})
