import { expect, test } from "bun:test"
import { tarMember } from "../../content/archive/member.ts"
import { padding, TAR_END } from "../../content/archive/tar.ts"
import { filesOf } from "./files.ts"

// What a guest sends is a stranger's archive.

const file = (name: string, text = "text") => [
  tarMember(name, text.length, { mode: 0o4755 }),
  Buffer.from(text),
  Buffer.alloc(padding(text.length)),
]
async function* archive(...entries: readonly Uint8Array[][]) {
  yield Buffer.concat([...entries.flat(), TAR_END])
}
const codeOf = (entries: readonly Uint8Array[][]) =>
  filesOf(archive(...entries), "/out").catch(({ code }) => code)

test("files are called by their paths in the guest, whatever the archive has at its top", async () => {
  const content = Buffer.from("text").toString("base64")
  expect(await filesOf(archive(file("out")), "/out")).toEqual([{ path: "/out", mode: 0o755, content }])
  const tree = [[tarMember("o/", 0, {})], file("o/a"), [tarMember("o/l", 0, { type: "2", link: "/etc" })]]
  expect(await filesOf(archive(...tree), "/srv/o/")).toEqual([{ path: "/srv/o/a", mode: 0o755, content }])
})

test("paths that lead out, devices and what is cut short are no files [OVMS-API-404]", async () => {
  for (const name of ["../out", "/etc/out", "out/../../etc", "out/../x"])
    expect(await codeOf([file(name)])).toBe("OVM_ARTIFACT_INVALID")
  expect(await codeOf([[tarMember("out", 0, { type: "3" })]])).toBe("OVM_FILE_UNREADABLE")
  expect(await codeOf([[tarMember("out/", 0, {})], [tarMember("out/d", 0, { type: "3" })]])).toEqual([])
  const [head = new Uint8Array()] = file("out", "x".repeat(5000))
  async function* cut() {
    yield head
    yield Buffer.alloc(100)
  }
  expect(await filesOf(cut(), "/out").catch(({ code }) => code)).toBe("OVM_ARTIFACT_INVALID")
})
