import { expect, test } from "bun:test"
import { contains, scopeOf } from "./scope.ts"

// OVMS-REF-021
test.each([
  ["r.example", "r.example"],
  ["R.Example:5000", "r.example:5000"],
  ["r.example/", "r.example"],
  ["https://r.example", "r.example"],
  ["https://r.example/v1/", "r.example"],
  ["http://r.example/v2", "r.example"],
  ["https://r.example/team/", "r.example/team"],
  ["r.example/team-a", "r.example/team-a"],
  ["r.example/team-a//", "r.example/team-a"],
  ["r.example/v1", "r.example/v1"],
  ["[::1]:5000/team", "[::1]:5000/team"],
  ["https://index.docker.io/v1/", "docker.io"],
  ["index.docker.io/v1/", "docker.io"],
  ["registry-1.docker.io", "docker.io"],
  ["docker.io/library/debian", "docker.io/library/debian"],
])("the key %p is for %p", (key, scope) => expect(scopeOf(key)).toBe(scope))

// OVMS-REF-020
test.each([
  ["r.example", "r.example", true],
  ["r.example", "r.example/a/b", true],
  ["r.example/team", "r.example/team", true],
  ["r.example/team", "r.example/team/x", true],
  ["r.example/team", "r.example/team-b", false],
  ["r.example/team", "r.example/team-b/x", false],
  ["r.example/team", "r.example", false],
  ["r.example", "r.example:5000/a", false],
  ["r.example", "r.example.evil.test/a", false],
])("%p contains %p: %p", (scope, name, expected) => expect(contains(scope, name)).toBe(expected))
