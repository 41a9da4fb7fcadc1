import { expect, test } from "bun:test"
import { refusal } from "@ovms/testkit/disks.ts"
import { checkChain, MAX_LAYERS } from "./chain.ts"
import type { DiskInfo } from "./inspect.ts"

const layer = (path: string, virtualSize: number, format: "qcow2" | "raw" = "qcow2"): DiskInfo => ({
  path,
  format,
  fileSize: 512,
  virtualSize,
})
const verdict = async (layers: DiskInfo[]) => (await refusal((async () => checkChain(layers))())).message

test("a chain may grow, keep its size and start raw", () => {
  for (const layers of [[], [layer("a", 1024, "raw"), layer("b", 1024), layer("c", 4096)]])
    expect(() => checkChain(layers)).not.toThrow()
})

test("a chain that shrinks is refused at the layer that does it", async () => {
  expect(await verdict([layer("a", 1024), layer("b", 2048), layer("c", 1024)])).toBe(
    "c: shrinks the disk to 1024 bytes, below the 2048 of layer 1",
  )
})

test("raw above the first layer is refused", async () => {
  expect(await verdict([layer("a", 512), layer("b", 512, "raw")])).toBe(
    "b: is raw at layer 1; only the first layer may be raw",
  )
})

test("too many layers are refused", async () => {
  const layers = Array.from({ length: MAX_LAYERS + 1 }, (_, index) => layer(`l${index}`, 512))
  checkChain(layers.slice(0, -1))
  expect(await verdict(layers)).toBe(
    `l${MAX_LAYERS}: is layer ${MAX_LAYERS}; a disk has at most ${MAX_LAYERS} layers`,
  )
})
