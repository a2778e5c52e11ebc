/** In a server of the tests (`--expose-gc --import`): what nobody holds is collected when SIGUSR2 comes. */
process.on('SIGUSR2', () => globalThis.gc?.())
