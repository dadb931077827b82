package dashboard

// Routes lists every route of the API, as the router has them.
func (s *Service) Routes() []string { return s.api.Routes() }
