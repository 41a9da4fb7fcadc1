import { expect, test } from "bun:test"
import { spawnSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { mkdtemp, open, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { OvmError } from "../../errors.ts"
import { FileInput } from "./input.ts"
import { readTar } from "./tar.ts"

const MIB = 1 << 20
const FORMS = {
  "of its own type": ["--format=gnu"],
  "by pax records 0.0": ["--format=posix", "--sparse-version=0.0"],
  "by pax records 0.1": ["--format=posix", "--sparse-version=0.1"],
  "by pax records 1.0": ["--format=posix", "--sparse-version=1.0"],
}

/** Archives of a file with 60 pieces, and of another one after it, as GNU tar writes them. */
async function archives(
  use: (make: (form: string) => Buffer, whole: Buffer) => Promise<void>,
): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "ovm-sparse-"))
  const whole = Buffer.alloc(61 * MIB)
  try {
    await using file = await open(join(folder, "disk.raw"), "w")
    for (let at = 0; at < 60; at++) {
      const piece = Buffer.alloc(4096, `piece ${at} `)
      piece.copy(whole, at * MIB)
      await file.write(piece, 0, piece.length, at * MIB)
    }
    await file.truncate(whole.length)
    await Bun.write(join(folder, "after"), "after it")
    const make = (form: string) => {
      const words = FORMS[form as keyof typeof FORMS]
      const args = ["-cSf", "out.tar", "--hole-detection=raw", ...words, "disk.raw", "after"]
      expect([spawnSync("tar", args, { cwd: folder }).status, form]).toEqual([0, form])
      return readFileSync(join(folder, "out.tar"))
    }
    await use(make, whole)
  } finally {
    await rm(folder, { recursive: true })
  }
}

/** What is in an archive. */
async function read(bytes: Uint8Array): Promise<[string, Buffer][]> {
  const folder = await mkdtemp(join(tmpdir(), "ovm-sparse-"))
  try {
    await Bun.write(join(folder, "in.tar"), bytes)
    await using handle = await open(join(folder, "in.tar"))
    const found: [string, Buffer][] = []
    for await (const { name, content } of readTar(new FileInput(handle, bytes.length), "it", undefined, {
      sparse: true,
    }))
      found.push([name, Buffer.concat(await Array.fromAsync(content()))])
    return found
  } finally {
    await rm(folder, { recursive: true })
  }
}

test("a file with holes is what it was, whichever form tar has it in [OVMS-IMP-082]", async () => {
  await archives(async (make, whole) => {
    for (const form of Object.keys(FORMS)) {
      const bytes = make(form)
      expect(bytes.length).toBeLessThan(MIB)
      const [[name, content] = [], ...others] = await read(bytes)
      expect([form, name, content?.equals(whole)]).toEqual([form, "disk.raw", true])
      expect(others).toEqual([["after", Buffer.from("after it")]])
    }
  })
})

test("a map that says other pieces than there are is refused [OVMS-IMP-082]", async () => {
  await archives(async (make) => {
    const wrong = async (form: string, from: string, to: string) => {
      const bytes = make(form)
      const at = bytes.indexOf(from, 0, "latin1")
      expect(at).toBeGreaterThan(0)
      bytes.write(to, at, "latin1")
      const thrown = await read(bytes).catch((error) => error)
      expect(thrown).toBeInstanceOf(OvmError)
      expect([form, thrown.code]).toEqual([form, "OVM_ARTIFACT_INVALID"])
      expect(thrown.message).toContain("holes that are not where it says")
    }
    // In another order, longer than what is stored, beyond the end, more pieces than any, and no number.
    await wrong("by pax records 0.1", "1048576,4096", "9948576,4096")
    await wrong("by pax records 1.0", "\n1048576\n4096\n", "\n1048576\n4097\n")
    await wrong("by pax records 1.0", "\n61865984\n4096\n", "\n99999999\n4096\n")
    await wrong("by pax records 1.0", "61\n0\n4096\n", "9999999999")
    await wrong("by pax records 0.0", "GNU.sparse.numbytes=4096", "GNU.sparse.numbytes=4o96")
  })
})
