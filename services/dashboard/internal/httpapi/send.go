package httpapi

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
)

// sendLimit is how long a client may take to receive a piece of an answer before it
// counts as gone.
const sendLimit = 10 * time.Second

// sender sends an answer in pieces. What is held for it, such as a connection to
// Postgres, is not held for a client that does not take them.
type sender struct {
	to   *echo.Response
	wire *http.ResponseController
}

func newSender(c echo.Context) *sender {
	return &sender{c.Response(), http.NewResponseController(c.Response())}
}

// Write fails when the client takes too long.
func (s *sender) Write(piece []byte) (int, error) {
	if err := s.wire.SetWriteDeadline(time.Now().Add(sendLimit)); err != nil {
		return 0, err
	}
	return s.to.Write(piece)
}

// Now is Write of what is not to wait for more.
func (s *sender) Now(piece []byte) error {
	if _, err := s.Write(piece); err != nil {
		return err
	}
	return s.wire.Flush()
}

// Done lifts the limit, for what follows on the connection.
func (s *sender) Done() { _ = s.wire.SetWriteDeadline(time.Time{}) }
