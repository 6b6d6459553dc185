import { DirectionalLight, HemisphereLight, OrthographicCamera, Scene as ThreeScene, Vector3, type WebGLRenderer } from 'three'
import { paletteOf } from '../palette'
import { axes, type Camera } from '../project'
import type { Scene } from '../scene'
import type { World } from '../world'
import { fleet } from './fleet'
import { linear } from './geometry'
import { siteMesh } from './site-mesh'
import { rgb } from '../palette'

/** Where the sun stands. */
const SUN = new Vector3(-22, 46, 18)
const FAR = 220

/** What one picture shows. */
export interface Shot {
  scene: Scene | undefined
  camera: Camera
  /** Size in CSS pixels of the element, before the stage's scale. */
  width: number
  height: number
  dark: boolean
  followed?: number
  experts?: readonly number[]
}

/** One world, ready to be drawn by whoever has a renderer. Holds no context: after a loss it is drawn again as it is. */
export interface RoadView {
  draw(renderer: WebGLRenderer, shot: Shot): void
  /** Puts things in place without drawing: what a frame costs on the main thread before the renderer. */
  arrange(shot: Shot): void
  readonly cars: number
  dispose(): void
}

export function roadView(world: World): RoadView {
  const stage = new ThreeScene()
  const camera = new OrthographicCamera()
  const hemisphere = new HemisphereLight()
  const sun = new DirectionalLight()
  sun.castShadow = true
  sun.shadow.radius = 4
  sun.shadow.bias = -0.0006
  sun.shadow.normalBias = 0.03
  const ground = siteMesh(world)
  const traffic = fleet()
  stage.add(hemisphere, sun, sun.target, ground.group, traffic.group)
  let painted: boolean | undefined

  function arrange({ scene, camera: from, width, height, dark, followed, experts }: Shot): void {
    const palette = paletteOf(dark)
    if (painted !== dark) {
      painted = dark
      ground.paint(palette, dark)
      traffic.paint(palette, dark)
      const { light } = palette
      hemisphere.color.setRGB(...linear(rgb(light.sky)))
      hemisphere.groundColor.setRGB(...linear(rgb(light.ground)))
      hemisphere.intensity = light.hemisphere
      sun.color.setRGB(...linear(rgb(light.sun)))
      sun.intensity = light.sunStrength
    }
    if (experts) ground.light(palette, experts)
    traffic.update(scene, world, followed)

    const [w, h] = [width / from.zoom / 2, height / from.zoom / 2]
    Object.assign(camera, { left: -w, right: w, top: h, bottom: -h, near: 1, far: 2 * FAR })
    const { back } = axes(from)
    const [tx, ty, tz] = from.target
    camera.position.set(tx + back[0] * FAR, ty + back[1] * FAR, tz + back[2] * FAR)
    camera.lookAt(tx, ty, tz)
    camera.updateProjectionMatrix()
    // The shadow map covers what is seen and what throws a shadow into it.
    const reach = Math.hypot(w, h / Math.sin((from.pitch * Math.PI) / 180)) * 0.86 + 6
    sun.position.copy(SUN).normalize().multiplyScalar(120).add(sun.target.position.set(tx, 0, tz))
    Object.assign(sun.shadow.camera, { left: -reach, right: reach, top: reach, bottom: -reach, near: 1, far: 320 })
    sun.shadow.camera.updateProjectionMatrix()
  }

  return {
    get cars() { return traffic.count },
    arrange,
    draw(renderer, shot) {
      const size = renderer.capabilities.maxTextureSize >= 8192 && shot.width * shot.height > 2e5 ? 2048 : 1024
      if (sun.shadow.mapSize.x !== size) {
        sun.shadow.mapSize.set(size, size)
        sun.shadow.map?.dispose()
        sun.shadow.map = null
      }
      arrange(shot)
      renderer.render(stage, camera)
    },
    dispose() {
      ground.dispose()
      traffic.dispose()
      sun.dispose()
    },
  }
}
