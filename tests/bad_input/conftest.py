from tests.bad_input.refusal import refused

__all__ = ["refused"]
