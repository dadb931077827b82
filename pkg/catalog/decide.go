package catalog

// firstUsageVersion is the month from which on Azure's dated API understands
// stream_options.
const firstUsageVersion = "2024-09"

// DefaultBaseURL is the address of a provider that names none; empty when only its
// operator can know it.
func DefaultBaseURL(kind Kind, preset string) string {
	switch kind {
	case OpenAI:
		return "https://api.openai.com/v1"
	case Anthropic:
		return "https://api.anthropic.com"
	case Compatible:
		p, _ := FindPreset(preset)
		return p.BaseURL
	case Azure, Demo:
	}
	return ""
}

// AsksUsage reports whether streams of chat completions are to be asked for usage where
// the client did not ask: as configured, else where it is known to be understood.
func (p *Provider) AsksUsage() bool {
	switch p.InjectUsage {
	case InjectOn:
		return true
	case InjectOff:
		return false
	case InjectAuto:
	}
	switch p.Kind {
	case OpenAI, Demo:
		return true
	case Azure: // dates compare as text, a preview like the version it precedes
		return p.APIVersion == "" || p.APIVersion >= firstUsageVersion
	case Compatible:
		preset, _ := FindPreset(p.Preset)
		return preset.IncludeUsage
	case Anthropic: // reports it unasked
	}
	return false
}

// Endpoints names the endpoints the provider serves, as traces do; nil is all of its
// kind. A preset that this version does not know limits nothing.
func (p *Provider) Endpoints() []string {
	if p.Kind != Compatible {
		return nil
	}
	preset, _ := FindPreset(p.Preset)
	return preset.Endpoints
}

// NeedsSecret reports whether the provider is of no use without a secret.
func (p *Provider) NeedsSecret() bool {
	preset, _ := FindPreset(p.Preset)
	return p.Entra != nil || preset.NeedsSecret
}
