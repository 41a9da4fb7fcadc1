/** Its path, in the compiled program too (scripts/static.sh makes it). */
declare module "*/filter/dist/ovm-filter" {
  const path: string
  export default path
}

declare module "*/forward/dist/ovm-forward" {
  const path: string
  export default path
}

declare module "*/tap/dist/ovm-tap" {
  const path: string
  export default path
}
