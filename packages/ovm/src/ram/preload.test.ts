import { expect, test } from "bun:test"
import { mkdtemp, open, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { refusal } from "@ovms/testkit/disks.ts"
import { evict, fincoreMissing, readFromDisks, resident } from "@ovms/testkit/memory.ts"
import { CHUNK } from "./format.ts"
import { preloadRam } from "./preload.ts"

test.skipIf(fincoreMissing !== "")(
  `RAM is read into memory, its holes are not ${fincoreMissing}`,
  async () => {
    const folder = await mkdtemp(join(tmpdir(), "ovm-preload-"))
    try {
      const path = join(folder, "ram")
      {
        await using file = await open(path, "wx")
        await file.truncate(64 * CHUNK)
        for (const first of [1, 30]) await file.write(Buffer.alloc(8 * CHUNK, 1), 0, null, first * CHUNK)
        await file.sync()
      }
      evict(path)
      expect(resident(path)).toBeLessThan(16 * CHUNK)
      const before = readFromDisks()
      await preloadRam(path)
      const read = readFromDisks() - before
      expect(read).toBeGreaterThanOrEqual(16 * CHUNK)
      expect(read).toBeLessThan(64 * CHUNK)
      expect((await refusal(preloadRam(join(folder, "nothing")))).message).toContain("nothing")
    } finally {
      await rm(folder, { recursive: true })
    }
  },
)
