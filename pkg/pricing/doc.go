// Package pricing turns a provider's usage object into money, exactly.
//
//	raw usage JSON ──ParseUsage──▶ Usage ──┐
//	                                       ├─Cost──▶ Picodollars
//	provider, model, date ──Book.Lookup──▶ Price ┘
//
// Money is a whole number of picodollars (1 USD = 10^12) in an int64 and a
// rate is a whole number of picodollars per token: every list price in use is
// one ("$0.005 per 1M tokens" is 5000), so a product has nothing to round.
// What does not fit is an error, never a rounded figure; there is no float.
//
// Usage holds disjoint buckets, whatever the provider's convention: OpenAI's
// prompt_tokens include cached tokens, Anthropic's input_tokens do not.
//
// A Price holds from a UTC date until its Until or its successor's From.
// Prices an operator set for a provider by name go before the built-in list
// prices of its kind. Models match by exact name only. Tiers keyed on the size
// of the prompt re-price the whole request, as the providers do.
//
// A kind has the prices that the book lists under it, and no other's. So a
// model of OpenAI's has no built-in price at a provider of kind azure, where
// it depends on the region and the deployment's type, which no answer tells,
// and none at one of kind compatible, whatever its preset: their operator
// gives prices by the provider's name.
//
// What the book cannot price exactly stays unpriced: an unknown model, a
// service tier without its own price, audio tokens, paid web searches, a
// surcharge reported in the usage object (ErrUnpriced). Zero means free.
// One thing is not visible in OpenAI's usage: how long a cache write is kept;
// cache_write_tokens take the standard (shortest) retention's rate.
package pricing
