import { expect, setDefaultTimeout, test } from "bun:test"
import { mkdtemp, readdir, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { refusal } from "@ovms/testkit/disks.ts"
import { OvmError } from "../errors.ts"
import { imagesBelow, openRuntime } from "./runtime.testing.ts"

setDefaultTimeout(20_000)

test("a start that is refused while nothing can be removed is said, has failed, and can be removed later", async () => {
  const root = await mkdtemp(join(tmpdir(), "ovm-starts-"))
  const images = await imagesBelow(root)
  const release = images.release.bind(images)
  const broken = async () => {
    throw new OvmError("OVM_HOST_FAILED", "the lease: input/output error")
  }
  const runtime = await openRuntime(root, { images: Object.assign(images, { release: broken }), vmms: [] })
  try {
    expect((await refusal(runtime.start({ manifest: "./nothing" }))).code).toBe("OVM_FILE_UNREADABLE")
    const [left] = await runtime.list()
    expect(left).toMatchObject({ state: "failed", error: { code: "OVM_FILE_UNREADABLE" } })
    const id = left?.instance_id ?? ""
    expect((await refusal(runtime.remove(id, { force: true }))).code).toBe("OVM_HOST_FAILED")
    Object.assign(images, { release })
    await runtime.remove(id, { force: true })
    expect(await runtime.list()).toEqual([])
    expect(await readdir(join(root, "instances"))).toEqual([])
  } finally {
    await runtime.close()
    await rm(root, { recursive: true })
  }
})
