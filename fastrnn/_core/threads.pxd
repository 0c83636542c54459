ctypedef void (*team_body)(void *context, int member, int members) noexcept nogil

cdef void run_team(team_body body, void *context, int members) noexcept nogil
cdef void call_member(team_body body, void *context, int member, int members) noexcept nogil
cdef void run_helped(team_body body, void *context, int members) noexcept nogil
