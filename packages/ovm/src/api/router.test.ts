import { expect, test } from "bun:test"
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { refusal } from "@ovms/testkit/disks.ts"
import { parse } from "yaml"
import { operation } from "./operation.ts"
import { OPERATIONS } from "./operations.ts"
import { Router } from "./router.ts"

const at = (method: "GET" | "POST", path: string) => operation(method, path, async () => new Response())
const router = new Router([
  at("GET", "/instances"),
  at("GET", "/instances/{instance_id}"),
  at("POST", "/instances/{instance_id}"),
  at("GET", "/instances/events"),
  at("POST", "/instances/{instance_id}/exec"),
  at("GET", "/instances/{instance_id}/files/{path}"),
])

test.each([
  ["/instances", "/instances", {}],
  ["/instances/a", "/instances/{instance_id}", { instance_id: "a" }],
  ["/instances/", "/instances/{instance_id}", { instance_id: "" }],
  ["/instances/events", "/instances/events", {}],
  ["/instances/a/exec", "/instances/{instance_id}/exec", { instance_id: "a" }],
  ["/instances/events/exec", "/instances/{instance_id}/exec", { instance_id: "events" }],
  ["/instances/a%2Fb/files/%20", "/instances/{instance_id}/files/{path}", { instance_id: "a/b", path: " " }],
  ["/instances/__proto__/exec", "/instances/{instance_id}/exec", { instance_id: "__proto__" }],
])("%s is %s", (pathname, path, parameters) => {
  const found = router.find(pathname)
  expect(found?.operations[0]?.path).toBe(path)
  expect(found?.parameters()).toEqual(parameters)
})

test.each([
  "/",
  "",
  "/instances/a/exec/",
  "/instances/a/b",
  "instances",
  "//instances",
  "/toString",
  "/Instances",
])("%s is no path", (pathname) => {
  expect(router.find(pathname)).toBeUndefined()
})

test("a path has its methods, in the order in which they are listed", () => {
  expect(router.find("/instances/a")?.operations.map(({ method }) => method)).toEqual(["GET", "POST"])
})

test("a malformed escape is refused by name, once it is asked for", async () => {
  const found = router.find("/instances/%zz/exec")
  const error = await refusal((async () => found?.parameters())())
  expect(`${error.code} ${error.message}`).toBe("OVM_REQUEST_INVALID the path has a malformed escape: %zz")
})

test("the operations are those of the OpenAPI file", async () => {
  const text = await readFile(join(import.meta.dir, "../../../../spec/api/openapi.yaml"), "utf8")
  const { paths } = parse(text) as { paths: Record<string, Record<string, unknown>> }
  const specified = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  )
  expect(OPERATIONS.map(({ method, path }) => `${method} ${path}`).sort()).toEqual(specified.sort())
})
