import { expect, test } from "bun:test"
import { existsSync, readFileSync } from "node:fs"
import { copyFile, mkdir, mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { until } from "@ovms/testkit/until.ts"
import { connectTpm } from "./connected.ts"
import { endTpm, outlived } from "./process.ts"
import { findSwtpm } from "./swtpm.ts"

const skip = findSwtpm() ? "" : "swtpm is not installed"
if (skip) console.log(`SKIP packages/ovm/src/vmm/tpm/process.test.ts: ${skip}`)

test.skipIf(Boolean(skip))(
  "a TPM that no VMM ever spoke to outlives its connection, and is ended [OVMS-UEF-031]",
  async () => {
    const state = await mkdtemp(join(tmpdir(), "ovm-tpm-"))
    try {
      for (const _ of ["first", "its next life"]) {
        const tpm = await connectTpm({ state })
        tpm[Symbol.dispose]()
      }
      const pid = Number(readFileSync(join(state, "pid"), "latin1"))
      // Another folder's TPM is left alone, whatever a file says.
      const other = join(state, "other")
      await mkdir(other)
      await copyFile(join(state, "pid"), join(other, "pid"))
      endTpm(other)
      await Bun.sleep(200)
      expect(existsSync(`/proc/${pid}`)).toBe(true)
      endTpm(state)
      await outlived(state)
      await until("it has gone", () => existsSync(`/proc/${pid}`), { is: (there) => !there })
    } finally {
      await rm(state, { recursive: true })
    }
  },
)
