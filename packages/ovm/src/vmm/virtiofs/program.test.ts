import { afterAll, beforeAll, expect, test } from "bun:test"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { findVirtiofsd } from "./program.ts"

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "ovm-virtiofsd-"))
  await writeFile(join(folder, "virtiofsd"), "#!/bin/sh\n", { mode: 0o755 })
})
afterAll(() => rm(folder, { recursive: true }))

test("machines that are emulated have virtiofs only by a program that the operator named [OVMS-SHR-039]", () => {
  const path = join(folder, "virtiofsd")
  expect(findVirtiofsd("kvm", { PATH: folder })).toBe(path)
  expect(findVirtiofsd("tcg", { PATH: folder })).toBeUndefined()
  expect(findVirtiofsd("tcg", { PATH: folder, OVM_VIRTIOFSD: "" })).toBeUndefined()
  for (const accelerator of ["kvm", "tcg"])
    expect(findVirtiofsd(accelerator, { PATH: "", OVM_VIRTIOFSD: path })).toBe(path)
})
