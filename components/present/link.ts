import { pageSearch } from '$components/frame/url.svelte'
import { withParameter } from '$components/frame/url'

/** The deck's address with a slide as everything is set now; what belongs to this window alone is left out. */
export function linkTo(id: string): string {
  const search = ['speaker', 'road', 'talk', 'frozen'].reduce((s, key) => withParameter(s, key, undefined), pageSearch())
  return `${location.origin}${location.pathname}${search}#/${id}`
}
