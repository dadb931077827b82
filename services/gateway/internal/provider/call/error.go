package call

import "errors"

var (
	// ErrSignIn is wrapped by the error of a call for which the provider's sign-in service
	// gave no token. Nothing was sent to the provider.
	ErrSignIn = errors.New("sign-in failed")
	// ErrCredentials is wrapped as well where that service refused the credentials, so that
	// to try again is of no use.
	ErrCredentials = errors.New("renew the provider's secret, or correct its tenant and client id")
)
