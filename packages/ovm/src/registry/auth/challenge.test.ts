import { expect, test } from "bun:test"
import { parseChallenges } from "./challenge.ts"

test.each([
  ["Basic", [{ scheme: "basic", parameters: {} }]],
  ['Basic realm="a, b"', [{ scheme: "basic", parameters: { realm: "a, b" } }]],
  [
    'Bearer realm="https://auth.example/token",service="r.example",scope="repository:a/b:pull,push"',
    [
      {
        scheme: "bearer",
        parameters: {
          realm: "https://auth.example/token",
          service: "r.example",
          scope: "repository:a/b:pull,push",
        },
      },
    ],
  ],
  ['bearer  realm = "x" , Service=y', [{ scheme: "bearer", parameters: { realm: "x", service: "y" } }]],
  [
    'Negotiate, Bearer realm="q\\"uote", Basic realm=z',
    [
      { scheme: "negotiate", parameters: {} },
      { scheme: "bearer", parameters: { realm: 'q"uote' } },
      { scheme: "basic", parameters: { realm: "z" } },
    ],
  ],
  ["", []],
  ['="', []],
  ['Bearer realm="unended', [{ scheme: "bearer", parameters: {} }]],
])("%s", (header, expected) => {
  expect(parseChallenges(header).slice(0, expected.length) as unknown).toEqual(
    expected.map(({ scheme, parameters }) => ({
      scheme,
      parameters: Object.assign(Object.create(null), parameters),
    })),
  )
})

test("a hostile header costs no time", () => {
  expect(parseChallenges(`Bearer realm="${"\\".repeat(100_000)}`).length).toBeGreaterThan(0)
})
