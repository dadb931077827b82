import { createTheme, type CSSVariablesResolver } from "@mantine/core";

/** Controls take their colours from styles/tokens.css: the page's policy forbids the provider's own <style>. */
export const theme = createTheme({
  fontFamily: "var(--font-ui)",
  fontFamilyMonospace: "var(--font-mono)",
  primaryColor: "teal",
  primaryShade: { light: 8, dark: 4 },
  defaultRadius: 6,
  cursorType: "pointer",
  respectReducedMotion: true,
});

/** Nothing to resolve: the variables are in the style sheet. */
export const noVariables: CSSVariablesResolver = () => ({ variables: {}, light: {}, dark: {} });
