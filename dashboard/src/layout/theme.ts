import { Alert, createTheme, Modal, type MantineThemeOverride } from '@mantine/core'

/** The look of Mantine's components; colours and type stand in `theme.css`, so that no style is injected at run time. */
export const theme: MantineThemeOverride = createTheme({
  primaryColor: 'teal',
  defaultRadius: 'md',
  cursorType: 'pointer',
  components: {
    Alert: Alert.extend({
      classNames: { root: 'callout', title: 'callout-title', message: 'callout-message' },
    }),
    Modal: Modal.extend({
      // Locking the scroll injects a style element, which the content security policy forbids.
      defaultProps: { lockScroll: false, centered: true, overlayProps: { backgroundOpacity: 0.35 } },
    }),
  },
})
