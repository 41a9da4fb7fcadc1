import { expect, test } from "bun:test"
import { areRelated } from "./related.ts"

test.each<[string, string, boolean]>([
  ["registry-1.docker.io", "auth.docker.io", true],
  ["registry.gitlab.com", "gitlab.com", true],
  ["registry.example.com", "sso.login.example.com", true],
  ["ghcr.io", "ghcr.io", true],
  ["ghcr.io", "evil.io", false],
  ["ghcr.io", "quay.io", false],
  ["registry.example.com", "evil.com", false],
  ["registry.example.com", "example.com.evil.net", false],
  ["registry.example.com", "evilexample.com", false],
  ["example.co.uk", "evil.co.uk", false],
  ["registry.example.co.uk", "auth.example.co.uk", true],
  ["registry.corp", "auth.corp", false],
  ["10.0.0.1", "11.0.0.1", false],
  ["localhost", "localhost", true],
])("%s and %s: %p", (a, b, related) => {
  expect(areRelated(a, b)).toBe(related)
  expect(areRelated(b, a)).toBe(related)
})
