/**
 * OKLCH (lightness 0…1, chroma, hue in degrees) to sRGB: a colour space whose distances are about as large as they look.
 * Source: Björn Ottosson, "A perceptual color space for image processing" (2020).
 */
export type Rgb = [red: number, green: number, blue: number]

export function oklch(lightness: number, chroma: number, hue: number): Rgb {
  // a chroma that sRGB cannot show is lowered, which keeps lightness and hue as they were asked for
  for (let c = chroma; ; c -= 0.005) {
    const rgb = linearRgb(lightness, c, hue)
    if (c <= 0 || rgb.every(x => x >= -1e-4 && x <= 1 + 1e-4)) return rgb.map(encode) as Rgb
  }
}

function linearRgb(lightness: number, chroma: number, hue: number): Rgb {
  const angle = (hue * Math.PI) / 180
  const a = Math.max(0, chroma) * Math.cos(angle)
  const b = Math.max(0, chroma) * Math.sin(angle)
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3
  return [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ]
}

function encode(linear: number): number {
  const x = Math.min(1, Math.max(0, linear))
  return Math.round(255 * (x <= 0.0031308 ? 12.92 * x : 1.055 * x ** (1 / 2.4) - 0.055))
}

/** WCAG relative luminance of sRGB bytes. */
export function luminance([red, green, blue]: Rgb): number {
  const linear = (byte: number) => {
    const x = byte / 255
    return x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4
  }
  return 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue)
}
